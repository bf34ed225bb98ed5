"""Celery's part of operations."""

from celery import shared_task

from backoffice.approvals import decisions
from backoffice.dashboard import aggregation
from backoffice.exports import services as exports
from backoffice.reports import planning, writing


@shared_task(name="backoffice.write_exports")
def write_exports() -> int:
    return exports.write_unfinished()


@shared_task(name="backoffice.prune_exports")
def prune_exports() -> int:
    return exports.prune_exports()


@shared_task(name="backoffice.expire_approvals")
def expire_approvals() -> int:
    return decisions.expire_approvals()


@shared_task(name="backoffice.add_up_hours")
def add_up_hours() -> int:
    """For the dashboard: the hours that are over, and what has ended in them since."""
    return aggregation.aggregate_hours()


@shared_task(name="backoffice.write_reports")
def write_reports() -> int:
    """Makes the runs that are due, also those that were missed, and writes their files."""
    planning.plan_due_runs()
    return writing.write_due_reports()
