"""The one way an event comes to be."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import connection
from opentelemetry import propagate

from common.db import insert_together
from events.models import OutboxEvent


@dataclass(frozen=True, slots=True)
class Event:
    """`type` is one of `events.catalogue`; `data` is the object as the API shows it at that moment.

    `callback_url` is told too, beside the merchant's registered endpoints.
    """

    type: str
    ordering_key: str
    merchant_id: uuid.UUID
    environment: str
    subject_id: uuid.UUID
    data: Mapping[str, Any]
    callback_url: str = ""


def append(event: Event) -> None:
    """Must run inside the transaction that makes the event true."""
    insert_together(row_of(event))


def row_of(event: Event) -> OutboxEvent:
    """The event's row, for a caller that inserts it together with rows of its own."""
    assert connection.in_atomic_block, "an event is written with what it tells"
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return OutboxEvent(
        type=event.type,
        ordering_key=event.ordering_key,
        merchant_id=event.merchant_id,
        environment=event.environment,
        subject_id=event.subject_id,
        data=event.data,
        trace_context=carrier,
        callback_url=event.callback_url,
    )
