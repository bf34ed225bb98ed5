"""Reads, always within one merchant and environment: another tenant's object does not exist (design section 1)."""

import uuid

from django.db.models import QuerySet

from common.errors import NotFound
from events.models import OutboxEvent, WebhookDelivery, WebhookEndpoint
from events.webhooks.models import EndpointStatus
from merchants.principal import Principal


def events_of(principal: Principal) -> QuerySet[OutboxEvent]:
    return OutboxEvent.objects.filter(merchant_id=principal.merchant_id, environment=principal.environment)


def event_of(principal: Principal, event_id: uuid.UUID) -> OutboxEvent:
    """Raises `NotFound`."""
    event = events_of(principal).filter(event_id=event_id).first()
    if event is None:
        raise NotFound({"id": str(event_id)})
    return event


def endpoints_of(principal: Principal) -> QuerySet[WebhookEndpoint]:
    return WebhookEndpoint.objects.filter(
        merchant_id=principal.merchant_id, environment=principal.environment
    ).exclude(status=EndpointStatus.DELETED)


def endpoint_of(principal: Principal, endpoint_id: uuid.UUID) -> WebhookEndpoint:
    """Raises `NotFound`."""
    endpoint = endpoints_of(principal).filter(id=endpoint_id).first()
    if endpoint is None:
        raise NotFound({"id": str(endpoint_id)})
    return endpoint


def deliveries_of(principal: Principal) -> QuerySet[WebhookDelivery]:
    return WebhookDelivery.objects.filter(
        merchant_id=principal.merchant_id, environment=principal.environment
    ).select_related("event", "endpoint")


def delivery_of(principal: Principal, delivery_id: uuid.UUID) -> WebhookDelivery:
    """Raises `NotFound`."""
    delivery = deliveries_of(principal).filter(id=delivery_id).first()
    if delivery is None:
        raise NotFound({"id": str(delivery_id)})
    return delivery
