"""Reads events of one merchant and environment. Another tenant's event is not found."""

import uuid

from django.db.models import QuerySet

from common.errors import NotFound
from events.models import OutboxEvent
from merchants.principal import Principal


def events_of(principal: Principal) -> QuerySet[OutboxEvent]:
    return OutboxEvent.objects.filter(merchant_id=principal.merchant_id, environment=principal.environment)


def event_of(principal: Principal, event_id: uuid.UUID) -> OutboxEvent:
    """Raises `NotFound`."""
    event = events_of(principal).filter(event_id=event_id).first()
    if event is None:
        raise NotFound({"id": str(event_id)})
    return event
