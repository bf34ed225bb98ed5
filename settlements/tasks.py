"""Periodic tasks of settlements."""

from celery import shared_task

from common.postgresql.exclusive import try_exclusive
from settlements.services import fetching
from settlements.services.matching import settle_statements as match_and_post
from settlements.services.voiding import void_approved_statements


@shared_task(name="settlements.fetch_statements")
def fetch_statements() -> int:
    """Fetches, matches and posts the statements that exist by now. Returns how many are new."""
    return fetching.fetch_due_statements()


@shared_task(name="settlements.settle_statements")
def settle_statements() -> None:
    """Voids statements whose voiding is approved, and matches and posts those that are imported. Only one runs at a
    time, because a large statement takes minutes."""
    with try_exclusive("settlements.settle_statements") as is_ours:
        if is_ours:
            try:
                void_approved_statements()
            finally:
                match_and_post()
