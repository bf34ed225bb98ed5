"""Periodic tasks of the ledger."""

from celery import shared_task

from ledger import balances, closes


@shared_task(name="ledger.roll_up")
def roll_up() -> int:
    """Adds queued transfers up into daily balances. Returns how many."""
    return balances.roll_up()


@shared_task(name="ledger.close_days")
def close_days() -> int:
    """Closes the days that are over. Returns how many it closed, in all chains."""
    return len(closes.close_days())
