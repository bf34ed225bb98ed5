"""Renders an event as CloudEvents 1.0: in structured mode for merchants, as attributes for Kafka's headers."""

import datetime as dt
import uuid
from collections.abc import Mapping
from typing import Any, Protocol

from common.clock import rfc3339

SOURCE = "/payment-platform"


class EventFields(Protocol):
    """The fields that `OutboxEvent` (a row) and `OutgoingEvent` (the relay's copy) share."""

    @property
    def event_id(self) -> uuid.UUID: ...
    @property
    def type(self) -> str: ...
    @property
    def ordering_key(self) -> str: ...
    @property
    def merchant_id(self) -> uuid.UUID: ...
    @property
    def environment(self) -> str: ...
    @property
    def data(self) -> Mapping[str, Any]: ...
    @property
    def created_at(self) -> dt.datetime: ...


def context_attributes(event: EventFields) -> dict[str, str]:
    """Returns the context attributes. `environment`, `merchantid` and `partitionkey` are extensions."""
    return {
        "specversion": "1.0",
        "id": str(event.event_id),
        "source": SOURCE,
        "type": event.type,
        "subject": event.ordering_key,
        "time": str(rfc3339(event.created_at)),
        "datacontenttype": "application/json",
        "environment": event.environment,
        "merchantid": str(event.merchant_id),
        "partitionkey": event.ordering_key,
    }


def to_structured_mode(event: EventFields) -> dict[str, Any]:
    return {**context_attributes(event), "data": event.data}
