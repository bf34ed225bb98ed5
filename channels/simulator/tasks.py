"""The bank's periodic task."""

from celery import shared_task

from channels.simulator import notifications


@shared_task(name="simulator.deliver_notifications")
def deliver_notifications() -> None:
    notifications.deliver_due_notifications()
