"""Periodic tasks of payouts."""

from celery import shared_task

from payouts.services import runs


@shared_task(name="payouts.create_scheduled_runs")
def create_scheduled_runs() -> int:
    """Creates the payout runs that are due. Returns how many."""
    return runs.create_scheduled_runs()
