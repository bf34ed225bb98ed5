"""The Kafka sink: CloudEvents 1.0 in binary mode, keyed by payment number (ADR 10).

A message's value is the event's `data` as JSON; its attributes are the headers `ce_…`, so that a consumer can route
without parsing.
"""

import logging
import time
import uuid
from collections.abc import Sequence

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from common.api.renderers import to_json
from events import cloudevents
from events.sinks import OutgoingEvent, SinkUnavailable

log = structlog.get_logger(__name__)
# Otherwise librdkafka writes lines of its own to stderr, in between those of the log.
librdkafka_log = logging.getLogger("librdkafka")

# One `send` waits so long; what is on its way then stays on its way, and the next `send` waits for it.
SEND_SECONDS = 10.0

PRODUCER = {
    "enable.idempotence": True,
    "acks": "all",
    # A message that failed for good lets none behind it pass: the relay begins again from the outbox.
    "enable.gapless.guarantee": True,
    # Never given up in the middle of an order: an outage may take any time.
    "message.timeout.ms": 0,
    "linger.ms": 5,
    "compression.type": "lz4",
    "reconnect.backoff.max.ms": 2000,
    "socket.timeout.ms": 10000,
}


class KafkaSink:
    name = "kafka"

    def __init__(self, *, brokers: str, topic: str) -> None:
        self._topic = topic
        self._settings = {**PRODUCER, "bootstrap.servers": brokers, "client.id": "payment-relay"}
        self._producer: Producer | None = None
        self._on_their_way: set[uuid.UUID] = set()
        self._arrived: set[uuid.UUID] = set()
        self._failure: KafkaError | None = None
        self._generation = 0  # reports about a producer that was dropped mean nothing any more

    def send(self, events: Sequence[OutgoingEvent]) -> None:
        """Returns once every one of them was acknowledged. Raises `SinkUnavailable`."""
        wanted = {event.event_id for event in events}
        if (self._on_their_way | self._arrived) - wanted:
            # Another relay led meanwhile and has sent what we were waiting for.
            self._begin_again()
        try:
            for event in events:
                if event.event_id not in self._on_their_way and event.event_id not in self._arrived:
                    self._produce(event)
            self._wait_for(wanted)
        except (KafkaException, BufferError) as error:
            self._begin_again()
            raise SinkUnavailable(f"Kafka: {error}") from error
        self._arrived.clear()

    def close(self) -> None:
        self._begin_again()

    def _produce(self, event: OutgoingEvent) -> None:
        if self._producer is None:
            self._producer = Producer(self._settings, error_cb=self._on_error, logger=librdkafka_log)
        attributes = cloudevents.attributes(event)
        content_type = attributes.pop("datacontenttype")
        headers = {f"ce_{name}": value for name, value in attributes.items()}

        def told(error: KafkaError | None, _message: Message, generation: int = self._generation) -> None:
            if generation != self._generation:
                return
            if error is not None:
                self._failure = error
            else:
                self._on_their_way.discard(event.event_id)
                self._arrived.add(event.event_id)

        self._producer.produce(
            self._topic,
            key=event.ordering_key,
            value=to_json(event.data),
            headers=[*{**headers, **event.trace_context, "content-type": content_type}.items()],
            on_delivery=told,
        )
        self._on_their_way.add(event.event_id)

    def _wait_for(self, wanted: set[uuid.UUID]) -> None:
        deadline = time.monotonic() + SEND_SECONDS
        while not wanted <= self._arrived:
            assert self._producer is not None
            self._producer.poll(0.1)
            if self._failure is not None:
                raise KafkaException(self._failure)
            if time.monotonic() > deadline:
                missing = len(wanted - self._arrived)
                raise SinkUnavailable(f"Kafka: {missing} events not acknowledged yet")

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._failure = error
        else:
            log.info("kafka.trouble", reason=error.str())

    def _begin_again(self) -> None:
        """Drops what is on its way. It is still in the outbox."""
        self._generation += 1
        if self._producer is not None:
            self._producer.purge()
        self._producer, self._failure = None, None
        self._on_their_way.clear()
        self._arrived.clear()
