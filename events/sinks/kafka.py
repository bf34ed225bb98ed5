"""The Kafka sink: CloudEvents 1.0 in binary mode, keyed by payment number (ADR 10).

A message's value is the event's `data` as JSON; its attributes are the headers `ce_…`, so that a consumer can route
without parsing.
"""

import logging
import time
import uuid
from collections.abc import Mapping, Sequence

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from common.api.renderers import to_json
from events import cloudevents
from events.sinks.base import OutgoingEvent, SinkUnavailable

log = structlog.get_logger(__name__)
# Without a logger, librdkafka writes its own lines to stderr.
librdkafka_log = logging.getLogger("librdkafka")

# One `send` waits this long. Messages that are still in flight then stay in flight, and the next `send` waits for them.
SEND_SECONDS = 10.0

PRODUCER = {
    "enable.idempotence": True,
    "acks": "all",
    # After a message that failed for good, librdkafka sends none of those behind it: the relay sends all again.
    "enable.gapless.guarantee": True,
    # Messages never expire, so that none is dropped between two others of its key, however long an outage lasts.
    "message.timeout.ms": 0,
    "linger.ms": 5,
    "compression.type": "lz4",
    "reconnect.backoff.max.ms": 2000,
    "socket.timeout.ms": 10000,
}


class KafkaSink:
    name = "kafka"

    def __init__(self, *, connection: Mapping[str, str], topic: str) -> None:
        """`connection` are librdkafka's properties of the brokers, TLS and SASL."""
        self._topic = topic
        self._settings = {**PRODUCER, **connection, "client.id": "payment-relay"}
        self._producer: Producer | None = None
        self._in_flight: set[uuid.UUID] = set()
        self._acknowledged: set[uuid.UUID] = set()
        self._failure: KafkaError | None = None
        self._generation = 0  # reports of a dropped producer carry an older number and are ignored

    def send(self, events: Sequence[OutgoingEvent]) -> None:
        """Returns when all events are acknowledged. Raises `SinkUnavailable`."""
        wanted = {event.event_id for event in events}
        if (self._in_flight | self._acknowledged) - wanted:
            # Another relay was the leader in the meantime and has sent events that were in flight here.
            self._drop_producer()
        try:
            for event in events:
                if event.event_id not in self._in_flight and event.event_id not in self._acknowledged:
                    self._produce(event)
            self._wait_for(wanted)
        except (KafkaException, BufferError) as error:
            self._drop_producer()
            raise SinkUnavailable(f"Kafka: {error}") from error
        self._acknowledged.clear()

    def close(self) -> None:
        self._drop_producer()

    def _produce(self, event: OutgoingEvent) -> None:
        if self._producer is None:
            self._producer = Producer(self._settings, error_cb=self._on_error, logger=librdkafka_log)
        attributes = cloudevents.context_attributes(event)
        content_type = attributes.pop("datacontenttype")
        headers = {f"ce_{name}": value for name, value in attributes.items()}

        def on_delivery(
            error: KafkaError | None, _message: Message, generation: int = self._generation
        ) -> None:
            if generation != self._generation:
                return
            if error is not None:
                self._failure = error
            else:
                self._in_flight.discard(event.event_id)
                self._acknowledged.add(event.event_id)

        self._producer.produce(
            self._topic,
            key=event.ordering_key,
            value=to_json(event.data),
            headers=[*{**headers, **event.trace_context, "content-type": content_type}.items()],
            on_delivery=on_delivery,
        )
        self._in_flight.add(event.event_id)

    def _wait_for(self, wanted: set[uuid.UUID]) -> None:
        deadline = time.monotonic() + SEND_SECONDS
        while not wanted <= self._acknowledged:
            assert self._producer is not None
            self._producer.poll(0.1)
            if self._failure is not None:
                raise KafkaException(self._failure)
            if time.monotonic() > deadline:
                missing = len(wanted - self._acknowledged)
                raise SinkUnavailable(f"Kafka: {missing} events not acknowledged yet")

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._failure = error
        else:
            log.info("kafka.error", reason=error.str())

    def _drop_producer(self) -> None:
        """Drops the producer and its messages in flight. Their events are still in the outbox."""
        self._generation += 1
        if self._producer is not None:
            self._producer.purge()
        self._producer, self._failure = None, None
        self._in_flight.clear()
        self._acknowledged.clear()
