"""What the bank does by itself."""

from celery import shared_task

from channels.simulator import notifications


@shared_task(name="simulator.deliver_notifications")
def deliver_notifications() -> None:
    notifications.work_off()
