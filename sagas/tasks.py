"""Celery's part of the engine."""

from celery import shared_task

from sagas import sweep


@shared_task(name="sagas.sweep")
def sweep_due_sagas() -> int:
    """Runs every SAGA_SWEEP_SECONDS on a queue of its own."""
    return sweep.sweep()
