"""Celery tasks of the gateway."""

from celery import shared_task

from gateway.services.reconciliation.unreported_refunds import record_unreported_refunds


@shared_task(name="gateway.find_unreported_refunds")
def find_unreported_refunds() -> int:
    """Records refunds that were made at a channel and that no webhook reported. Returns how many."""
    return record_unreported_refunds()
