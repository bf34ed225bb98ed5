"""Appends events to the outbox. This is the only way to create an event."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import connection

from common import tracing
from common.db import insert_together
from events.models import OutboxEvent


@dataclass(frozen=True, slots=True)
class Event:
    """An event to be appended. `type` is one of `events.catalogue`; `data` is the object as the API shows it now.

    `callback_url` is called in addition to the merchant's registered endpoints.
    """

    type: str
    ordering_key: str
    merchant_id: uuid.UUID
    environment: str
    subject_id: uuid.UUID
    data: Mapping[str, Any]
    callback_url: str = ""


def append_event(event: Event) -> None:
    """Inserts the event. Call it in the transaction that changes what the event reports."""
    assert connection.in_atomic_block, "an event is appended in the transaction that it reports"
    insert_together(build_event_row(event))


def build_event_row(event: Event) -> OutboxEvent:
    """Builds the event's row for a caller that inserts it together with its own rows, with the same statement."""
    return OutboxEvent(
        type=event.type,
        ordering_key=event.ordering_key,
        merchant_id=event.merchant_id,
        environment=event.environment,
        subject_id=event.subject_id,
        data=event.data,
        trace_context=tracing.current_context(),
        callback_url=event.callback_url,
    )
