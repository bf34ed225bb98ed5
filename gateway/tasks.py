"""Celery tasks of the gateway."""

from celery import shared_task

from gateway.services.reconciliation.unreported_refunds import record_unreported_refunds
from gateway.services.routing.success_rates import store_success_rates as count_and_store


@shared_task(name="gateway.find_unreported_refunds")
def find_unreported_refunds() -> int:
    """Records refunds that were made at a channel and that no webhook reported. Returns how many."""
    return record_unreported_refunds()


@shared_task(name="gateway.store_success_rates")
def store_success_rates() -> int:
    """Counts the outcomes of recent attempts for routing. Returns for how many accounts, methods and currencies."""
    return count_and_store()
