"""Reads endpoints and deliveries, always within one merchant and environment."""

import uuid

from django.db.models import QuerySet

from common.errors import NotFound
from merchants.principal import Principal
from webhooks.models import EndpointStatus, WebhookDelivery, WebhookEndpoint


def endpoints_of(principal: Principal) -> QuerySet[WebhookEndpoint]:
    return WebhookEndpoint.objects.filter(
        merchant_id=principal.merchant_id, environment=principal.environment
    ).exclude(status=EndpointStatus.DELETED)


def has_endpoint(principal: Principal, endpoint_id: uuid.UUID) -> bool:
    """True if the endpoint belongs to the merchant, also when it is deleted."""
    return WebhookEndpoint.objects.filter(
        id=endpoint_id, merchant_id=principal.merchant_id, environment=principal.environment
    ).exists()


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
