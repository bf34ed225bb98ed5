"""Periodic tasks of settlements."""

from celery import shared_task

from settlements.services import fetching


@shared_task(name="settlements.fetch_statements")
def fetch_statements() -> int:
    """Fetches, matches and posts the statements that exist by now. Returns how many are new."""
    return fetching.fetch_due_statements()
