"""Periodic tasks of monitoring: integrity checks, partitions and pruning."""

from datetime import timedelta

from celery import shared_task

from common.postgresql.exclusive import try_exclusive
from monitoring import partitions, pruning, services
from staff.session_store import SessionStore

# Longer than the interval between two runs, so that nothing falls between them.
RECENT = timedelta(hours=25)


@shared_task(name="monitoring.prune")
def prune() -> None:
    """An error while partitions are made fails the task after pruning: the platform runs for weeks without them."""
    with try_exclusive("monitoring.prune") as is_ours:
        if not is_ours:
            return
        try:
            partitions.make_partitions_ahead()
        finally:
            pruning.prune_history()


@shared_task(name="monitoring.check_consistency")
def check_consistency() -> int:
    """Checks what is recent. An operator checks all history: `manage.py check_consistency`."""
    with try_exclusive("monitoring.check_consistency") as is_ours:
        return services.run_checks(since=RECENT).failed if is_ours else 0


@shared_task(name="monitoring.prune_sessions")
def prune_sessions() -> None:
    SessionStore.clear_expired()
