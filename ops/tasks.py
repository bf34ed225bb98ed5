"""Celery's part of operations."""

from datetime import timedelta

from celery import shared_task
from django.contrib.sessions.backends.db import SessionStore

from ops.approvals import deciding
from ops.dashboard import adding_up
from ops.exports import services as exports
from ops.services import consistency, pruning

# Longer than the interval at which beat asks, so that nothing falls between two looks.
RECENT = timedelta(hours=25)


@shared_task(name="ops.prune")
def prune() -> None:
    pruning.prune_history()


@shared_task(name="ops.check_consistency")
def check_consistency() -> int:
    """What is recent. A look at everything is an operator's decision: `manage.py check_consistency`."""
    return consistency.run_checks(since=RECENT).failed


@shared_task(name="ops.write_exports")
def write_exports() -> int:
    return exports.write_unfinished()


@shared_task(name="ops.prune_exports")
def prune_exports() -> int:
    return exports.prune_exports()


@shared_task(name="ops.prune_sessions")
def prune_sessions() -> None:
    SessionStore.clear_expired()


@shared_task(name="ops.expire_approvals")
def expire_approvals() -> int:
    return deciding.expire()


@shared_task(name="ops.add_up_hours")
def add_up_hours() -> int:
    """For the dashboard: the hours that are over, and what has ended in them since."""
    return adding_up.add_up()
