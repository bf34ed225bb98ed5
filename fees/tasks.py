"""Periodic tasks of fees and statements."""

from celery import shared_task

from fees.services import statements


@shared_task(name="fees.close_statements")
def close_statements() -> int:
    """Makes the statements of days and months that are over. Returns how many."""
    return statements.close_statements()
