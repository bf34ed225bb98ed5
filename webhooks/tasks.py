"""Periodic tasks of webhooks."""

from celery import shared_task

from webhooks import endpoints, notices


@shared_task(name="webhooks.send_notices")
def send_disabled_endpoint_emails() -> int:
    """Tells merchants by e-mail that an endpoint of theirs was disabled."""
    return notices.send_due_notices()


@shared_task(name="webhooks.cancel_leftovers")
def cancel_deliveries_of_deleted_endpoints() -> int:
    """Cancels the deliveries that the deletion of an endpoint left pending."""
    return endpoints.cancel_leftover_deliveries()
