"""Celery tasks of the saga engine."""

from celery import shared_task

from sagas import sweep


@shared_task(name="sagas.sweep")
def sweep_sagas() -> int:
    """Runs every SAGA_SWEEP_SECONDS on a queue of its own."""
    return sweep.sweep_unless_sweeping()
