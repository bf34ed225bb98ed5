"""Celery's part of the gateway."""

from celery import shared_task

from gateway.services import unreported_refunds


@shared_task(name="gateway.find_unreported_refunds")
def find_unreported_refunds() -> int:
    """Books refunds that were made at a channel and that no webhook reported."""
    return unreported_refunds.find_and_book()
