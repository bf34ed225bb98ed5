"""Periodic tasks of the ledger."""

from celery import shared_task

from common.postgresql.exclusive import try_exclusive
from ledger import balances, closes


@shared_task(name="ledger.roll_up")
def roll_up() -> int:
    """Adds queued transfers up into daily balances. Returns how many."""
    return balances.roll_up()


@shared_task(name="ledger.close_days")
def close_days() -> int:
    """Closes the days that are over. Returns how many it closed, in all chains."""
    with try_exclusive("ledger.close_days") as is_ours:
        return len(closes.close_days()) if is_ours else 0
