"""Celery's part of events."""

from celery import shared_task

from events.webhooks import notices


@shared_task(name="events.send_notices")
def send_notices() -> int:
    return notices.send_due()
