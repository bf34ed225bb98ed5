"""The relay's events per second to Kafka, and the age of an event when a consumer reads it.

Kafka is librdkafka's mock cluster in this process, over TCP. For the delay, payments are made and paid
through the API, and `manage.py relay` sends their events. An event's age counts from the beginning of its
transaction, so the commit is part of it.
"""

import os
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from django.db import transaction

from benchmarks.figures import Benchmark, Effort, Figure, get_percentile, median_figure
from events import relay
from events.models import OutboxEvent
from events.outbox import Event, build_event_row
from events.sinks.kafka import KafkaSink
from merchants.services import create_merchant
from tests.support.kafka import PARTITIONS, TOPIC, MockCluster
from tests.support.shop import create, data
from tests.support.signing import SignedClient

BENCHMARK = Benchmark(
    "events",
    "Events a second from the outbox to Kafka, and the age of an event when a consumer reads it.",
    "Batches: one read, one wait for the broker and one update for each; the age is mostly the relay's poll.",
)

PAYMENTS_A_SECOND = 10
PATIENCE_SECONDS = 60.0


def measure(effort: Effort) -> list[Figure]:
    made = create_merchant(name="Benchmark", email=f"bench-{uuid.uuid4().hex[:8]}@example.com")
    client = SignedClient(made.test_key.key, made.test_key.secret)
    rates, medians, p99s = [], [], []
    for _round in range(effort.rounds):
        rates.append(_publish(made.merchant.pk, effort.choose(20_000, 2000)))
        delays = _deliver(client, effort.choose(10, 1))
        medians.append(statistics.median(delays) * 1000)
        p99s.append(get_percentile(delays, 99) * 1000)
    return [
        median_figure("relay to Kafka", rates, "events/s", aim="at least 2,000"),
        median_figure("age of an event at a consumer, p50", medians, "ms"),
        median_figure("age of an event at a consumer, p99", p99s, "ms"),
    ]


def event(merchant_id: uuid.UUID, number: int) -> Event:
    data = {"payment_no": f"PAY-{number}", "amount": 10_000, "subject": "Benchmark" * 50}
    return Event("payment.created", f"PAY-{number % 5000}", merchant_id, "test", uuid.uuid4(), data)


def _publish(merchant_id: uuid.UUID, count: int) -> float:
    """Events a second."""
    for start in range(0, count, 1000):
        with transaction.atomic():
            OutboxEvent.objects.bulk_create(
                build_event_row(event(merchant_id, start + n)) for n in range(1000)
            )
    with MockCluster() as kafka:
        sink = KafkaSink(connection={"bootstrap.servers": kafka.brokers}, topic=TOPIC)
        with relay.open_relay_session() as session:
            relay.publish_batch(session, [sink])  # connections, topic and caches are there
            began, sent = time.perf_counter(), 0
            while batch := relay.publish_batch(session, [sink]):
                sent += batch
            seconds = time.perf_counter() - began
        sink.close()
    return sent / seconds


def _deliver(client: SignedClient, seconds: int) -> list[float]:
    """The ages of events in seconds."""
    OutboxEvent.objects.all().delete()
    with MockCluster() as kafka, _relay(kafka.brokers), _consumer(kafka) as arrivals:
        data(create(client))
        _wait_for_all(arrivals)  # connections and caches are there
        OutboxEvent.objects.all().delete()
        arrivals.clear()
        for _number in range(seconds * PAYMENTS_A_SECOND):
            data(create(client, "auto_pay"))
            time.sleep(1 / PAYMENTS_A_SECOND)
        _wait_for_all(arrivals)
    return list(arrivals)


@contextmanager
def _relay(brokers: str) -> Iterator[None]:
    environment = {**os.environ, "KAFKA_BROKERS": brokers}
    process = subprocess.Popen([sys.executable, "manage.py", "relay"], env=environment)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _consumer(kafka: MockCluster) -> Iterator[list[float]]:
    """How old each event was when a consumer had it."""
    arrivals: list[float] = []
    stop = threading.Event()

    def consume() -> None:
        with closing(Consumer({"bootstrap.servers": kafka.brokers, "group.id": "benchmark"})) as consumer:
            consumer.assign([TopicPartition(TOPIC, number, 0) for number in range(PARTITIONS)])
            while not stop.is_set():
                message = consumer.poll(0.1)
                if message is not None and message.error() is None:
                    headers: dict[str, Any] = dict(message.headers() or [])
                    happened = headers["ce_time"].decode()
                    arrivals.append(time.time() - datetime.fromisoformat(happened).timestamp())

    thread = threading.Thread(target=consume)
    thread.start()
    try:
        yield arrivals
    finally:
        stop.set()
        thread.join()


def _wait_for_all(arrivals: list[float]) -> None:
    give_up_at, count = time.monotonic() + PATIENCE_SECONDS, OutboxEvent.objects.count()
    while len(arrivals) < count:
        if time.monotonic() > give_up_at:
            sys.exit(f"Of {count} events the consumer saw {len(arrivals)}.")
        time.sleep(0.1)
