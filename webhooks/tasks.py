"""Periodic tasks of webhooks."""

from celery import shared_task

from webhooks import endpoints, notices


@shared_task(name="webhooks.send_notices")
def send_notices() -> int:
    return notices.send_due_notices()


@shared_task(name="webhooks.cancel_leftovers")
def cancel_leftovers() -> int:
    return endpoints.cancel_leftover_deliveries()
