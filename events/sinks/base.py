"""The port between the relay and its sinks."""

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class OutgoingEvent:
    """A committed event that the relay sends. `event_id` stays the same however often it is sent."""

    id: int
    event_id: uuid.UUID
    type: str
    ordering_key: str
    merchant_id: uuid.UUID
    environment: str
    subject_id: uuid.UUID
    data: Mapping[str, Any]
    trace_context: Mapping[str, str]
    created_at: dt.datetime


class SinkUnavailable(Exception):
    """The sink takes no events at the moment. They stay in the outbox and are sent again."""


class Sink(Protocol):
    name: str

    def send(self, events: Sequence[OutgoingEvent]) -> None:
        """Returns when the other side has stored all of them. Raises `SinkUnavailable`."""
