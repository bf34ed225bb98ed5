"""Celery's part of events."""

from celery import shared_task

from events.webhooks import endpoints, notices


@shared_task(name="events.send_notices")
def send_notices() -> int:
    return notices.send_due()


@shared_task(name="events.cancel_leftovers")
def cancel_leftovers() -> int:
    return endpoints.cancel_leftovers()
