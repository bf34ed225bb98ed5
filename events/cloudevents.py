"""An event as CloudEvents 1.0 shows it: whole as JSON to merchants, attribute by attribute in Kafka's headers."""

import datetime as dt
import uuid
from collections.abc import Mapping
from typing import Any, Protocol

from common.clock import rfc3339

SOURCE = "/payment-platform"


class Told(Protocol):
    """What the outbox's row and the relay's copy of it have in common."""

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


def attributes(event: Told) -> dict[str, str]:
    """The context attributes. `environment`, `merchantid` and `partitionkey` are extensions."""
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


def structured(event: Told) -> dict[str, Any]:
    return {**attributes(event), "data": event.data}
