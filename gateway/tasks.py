"""Celery's part of the gateway: expiry and the janitor."""

from celery import shared_task

from gateway.services import asking, expiry


@shared_task(name="gateway.expire_payments")
def expire_payments() -> int:
    return expiry.expire_due_payments()


@shared_task(name="gateway.check_open_payments")
def check_open_payments() -> int:
    return asking.ask_about_due()
