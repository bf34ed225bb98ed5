"""How many events a second the relay carries to Kafka, and how long an event is on its way to its endpoint.

    python -m scripts.local.testing python -m benchmarks.events [--events 20000] [--seconds 10]

Kafka is librdkafka's mock cluster in this process, spoken to over TCP. For the delay, an event a 20th of a second goes
to one healthy endpoint on loopback, through `manage.py relay` and `manage.py deliver_webhooks`.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
import uuid

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"

import django

django.setup()

from django.core.management import call_command
from django.db import transaction

from common.crypto import seal
from events import relay
from events.kafka import KafkaSink
from events.models import OutboxEvent
from events.outbox import Event, append, row_of
from events.webhooks.models import WebhookEndpoint
from events.webhooks.signing import new_secret
from merchants.services import create_merchant
from tests.support.kafka import TOPIC, MockCluster
from tests.support.receiver import Receiver


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--events", type=int, default=20_000)
    options.add_argument("--seconds", type=int, default=10)
    chosen = options.parse_args()
    call_command("migrate", verbosity=0)
    merchant = create_merchant(name="Benchmark", email=f"bench-{uuid.uuid4().hex[:8]}@example.com").merchant
    throughput(merchant.pk, chosen.events)
    delay(merchant.pk, chosen.seconds)


def event(merchant_id: uuid.UUID, number: int) -> Event:
    data = {"payment_no": f"PAY-{number}", "amount": 10_000, "subject": "Benchmark" * 50}
    return Event("payment.created", f"PAY-{number % 5000}", merchant_id, "test", uuid.uuid4(), data)


def throughput(merchant_id: uuid.UUID, count: int) -> None:
    for start in range(0, count, 1000):
        with transaction.atomic():
            OutboxEvent.objects.bulk_create(row_of(event(merchant_id, start + n)) for n in range(1000))
    with MockCluster() as kafka:
        sink = KafkaSink(brokers=kafka.brokers, topic=TOPIC)
        with relay.connect() as session:
            relay.publish_batch(session, [sink])  # connections, topic and caches are there
            began, sent = time.perf_counter(), 0
            while batch := relay.publish_batch(session, [sink]):
                sent += batch
            seconds = time.perf_counter() - began
        sink.close()
    print(f"relay to Kafka: {sent} events in {seconds:.1f} s: {sent / seconds:.0f}/s (aim: at least 2000/s)")


def delay(merchant_id: uuid.UUID, seconds: int) -> None:
    OutboxEvent.objects.all().delete()
    with Receiver() as receiver:
        WebhookEndpoint.objects.create(
            merchant_id=merchant_id, environment="test", url=receiver.url(), sealed_secret=seal(new_secret())
        )
        commands = ("relay", "deliver_webhooks")
        processes = [subprocess.Popen([sys.executable, "manage.py", command]) for command in commands]
        try:
            made = {}
            time.sleep(5)
            for number in range(seconds * 20):
                with transaction.atomic():
                    append(event(merchant_id, number))
                made[str(OutboxEvent.objects.latest("id").event_id)] = time.monotonic()
                time.sleep(0.05)
            while len({told.message_id for told in receiver.told}) < len(made):
                time.sleep(0.1)
        finally:
            for process in processes:
                process.terminate()
                process.wait()
        delays = sorted(told.at - made[told.message_id] for told in receiver.told)
    p99 = delays[int(len(delays) * 0.99) - 1]
    print(f"event to endpoint: p50 {statistics.median(delays) * 1000:.0f} ms   p99 {p99 * 1000:.0f} ms")


if __name__ == "__main__":
    main()
