"""Endpoints of merchants, and the work of relay and webhook worker in this process, one round at a time."""

from typing import Any

from django.db.models.functions import Now

from tests.support.shop import Body, data
from tests.support.signing import SignedClient
from webhooks import claims, delivery, fanout
from webhooks.http_client import EndpointResponse
from webhooks.models import DeliveryStatus, Lane, WebhookDelivery, WebhookEndpoint

ENDPOINTS, DELIVERIES, EVENTS = "/api/v1/webhook-endpoints", "/api/v1/webhook-deliveries", "/api/v1/events"


def registered(client: SignedClient, url: str, **more: Any) -> Body:
    endpoint: Body = data(client.post(ENDPOINTS, {"url": url, **more}))
    return endpoint


def deliver_due(lanes: tuple[Lane, ...] = (Lane.FAST, Lane.SLOW)) -> list[EndpointResponse]:
    """Fans out new events, then makes every attempt that is due now, one after the other."""
    while fanout.fan_out_batch():
        pass
    replies: list[EndpointResponse] = []
    while claimed := [claim for lane in lanes for claim in claims.claim_deliveries(lane=lane, places=100)]:
        replies += [delivery.attempt_delivery(claim) for claim in claimed]
    return replies


def make_attempts_due() -> None:
    WebhookDelivery.objects.filter(status=DeliveryStatus.PENDING).update(due_at=Now(), lease_expires_at=None)


def endpoint_row(endpoint: Body) -> WebhookEndpoint:
    return WebhookEndpoint.objects.get(id=endpoint["id"])
