"""Periodic tasks of monitoring: integrity checks and pruning."""

from datetime import timedelta

from celery import shared_task
from django.contrib.sessions.backends.db import SessionStore

from monitoring import pruning
from monitoring import services as consistency

# Longer than the interval at which beat asks, so that nothing falls between two looks.
RECENT = timedelta(hours=25)


@shared_task(name="monitoring.prune")
def prune() -> None:
    pruning.prune_history()


@shared_task(name="monitoring.check_consistency")
def check_consistency() -> int:
    """What is recent. A look at everything is an operator's decision: `manage.py check_consistency`."""
    return consistency.run_checks(since=RECENT).failed


@shared_task(name="monitoring.prune_sessions")
def prune_sessions() -> None:
    SessionStore.clear_expired()
