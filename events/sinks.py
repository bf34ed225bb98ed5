"""The sinks that the relay sends events to. To add one, write a class with `send` and add it to `configured_sinks`."""

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from django.conf import settings

from common import tracing
from events import catalogue

log = structlog.get_logger(__name__)


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


class LogSink:
    """Logs one line for each event, without its data, which may name the customer."""

    name = "log"

    def send(self, events: Sequence[OutgoingEvent]) -> None:
        for event in events:
            key_name = "payment_no" if event.type in catalogue.PAYMENT_KEYED_TYPES else "ordering_key"
            with tracing.within(event.trace_context):
                log.info(
                    "event.published",
                    event_id=str(event.event_id),
                    type=event.type,
                    merchant_id=str(event.merchant_id),
                    environment=event.environment,
                    **{key_name: event.ordering_key},
                )


def configured_sinks() -> list[Sink]:
    """Includes Kafka when KAFKA_BROKERS is set. Webhooks are not a sink: see `webhooks.fanout`."""
    if not settings.KAFKA_BROKERS:
        return [LogSink()]
    from events.kafka import KafkaSink

    return [KafkaSink(brokers=settings.KAFKA_BROKERS, topic=settings.KAFKA_TOPIC), LogSink()]
