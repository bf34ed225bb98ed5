"""The relay's events per second to Kafka, and the age of an event when a consumer reads it.

    python -m scripts.local.testing python -m benchmarks.events [--events 20000] [--seconds 10]

Kafka is librdkafka's mock cluster in this process, over TCP. For the delay, payments are made and paid
through the API, and `manage.py relay` sends their events. An event's age counts from the beginning of its
transaction, so the commit is part of it.
"""

import argparse
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

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"

import django

django.setup()

from confluent_kafka import Consumer, TopicPartition
from django.core.management import call_command
from django.db import transaction

from events import relay
from events.models import OutboxEvent
from events.outbox import Event, build_event_row
from events.sinks.kafka import KafkaSink
from merchants.services import create_merchant
from tests.support.kafka import PARTITIONS, TOPIC, MockCluster
from tests.support.shop import create, data
from tests.support.signing import SignedClient

PAYMENTS_A_SECOND = 10
PATIENCE_SECONDS = 60.0


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--events", type=int, default=20_000)
    options.add_argument("--seconds", type=int, default=10)
    chosen = options.parse_args()
    call_command("migrate", verbosity=0)
    made = create_merchant(name="Benchmark", email=f"bench-{uuid.uuid4().hex[:8]}@example.com")
    throughput(made.merchant.pk, chosen.events)
    delay(SignedClient(made.test_key.key, made.test_key.secret), chosen.seconds)


def event(merchant_id: uuid.UUID, number: int) -> Event:
    data = {"payment_no": f"PAY-{number}", "amount": 10_000, "subject": "Benchmark" * 50}
    return Event("payment.created", f"PAY-{number % 5000}", merchant_id, "test", uuid.uuid4(), data)


def throughput(merchant_id: uuid.UUID, count: int) -> None:
    for start in range(0, count, 1000):
        with transaction.atomic():
            OutboxEvent.objects.bulk_create(
                build_event_row(event(merchant_id, start + n)) for n in range(1000)
            )
    with MockCluster() as kafka:
        sink = KafkaSink(brokers=kafka.brokers, topic=TOPIC)
        with relay.open_relay_session() as session:
            relay.publish_batch(session, [sink])  # connections, topic and caches are there
            began, sent = time.perf_counter(), 0
            while batch := relay.publish_batch(session, [sink]):
                sent += batch
            seconds = time.perf_counter() - began
        sink.close()
    print(f"relay to Kafka: {sent} events in {seconds:.1f} s: {sent / seconds:.0f}/s (aim: at least 2000/s)")


def delay(client: SignedClient, seconds: int) -> None:
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
    delays = sorted(arrivals)
    p99 = statistics.quantiles(delays, n=100)[98]
    print(
        f"payment to consumer: {len(delays)} events, p50 {statistics.median(delays) * 1000:.0f} ms"
        f"   p99 {p99 * 1000:.0f} ms"
    )


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


if __name__ == "__main__":
    main()
