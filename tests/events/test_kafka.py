"""Events to Kafka over TCP, with brokers that disappear and relays that are killed."""

import itertools
import json
import os
import random
import subprocess
import sys
import uuid
from collections.abc import Iterator

import pytest
from django.db import connection, transaction

from events import relay
from events.models import OutboxEvent
from events.outbox import Event, append_event
from events.sinks import kafka
from events.sinks.base import SinkUnavailable
from events.sinks.kafka import KafkaSink
from tests.support.kafka import TOPIC, MockCluster, Received
from tests.support.waiting import PATIENCE_SECONDS, wait_until
from webhooks import fanout

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

TYPES = ("payment.created", "payment.succeeded", "refund.succeeded")


@pytest.fixture
def cluster() -> Iterator[MockCluster]:
    with MockCluster() as running:
        yield running


@pytest.fixture
def sink(cluster: MockCluster) -> Iterator[KafkaSink]:
    sink = KafkaSink(connection={"bootstrap.servers": cluster.brokers}, topic=TOPIC)
    yield sink
    sink.close()


def append_events(first: int, last: int, types: tuple[str, ...] = TYPES) -> None:
    """Appends the events of payments number `first` to `last`, interleaved."""
    merchant_id = uuid.uuid4()
    for event_type in types:
        for start in range(first, last, 50):
            with transaction.atomic():
                for number in range(start, min(start + 50, last)):
                    append_event(
                        Event(
                            type=event_type,
                            ordering_key=f"PAY-{number}",
                            merchant_id=merchant_id,
                            environment="test",
                            subject_id=uuid.uuid4(),
                            data={"payment_no": f"PAY-{number}", "subject": "测试"},
                        )
                    )


def unpublished() -> int:
    return OutboxEvent.objects.filter(published_at__isnull=True).count()


def without_repetitions(messages: list[Received]) -> list[Received]:
    """Drops messages with an id that an earlier message has."""
    seen: dict[str, Received] = {}
    for message in messages:
        before = seen.setdefault(message.headers["ce_id"], message)
        assert (before.key, before.value) == (message.key, message.value), (
            "messages with one id are of one event"
        )
    return list(seen.values())


def assert_complete_and_in_order(messages: list[Received]) -> None:
    seen = without_repetitions(messages)
    expected = OutboxEvent.objects.order_by("id").values_list("ordering_key", "event_id")
    by_key = lambda pairs: {  # noqa: E731
        key: [each for _key, each in group]
        for key, group in itertools.groupby(sorted(pairs, key=lambda pair: pair[0]), lambda pair: pair[0])
    }
    assert by_key([(message.key, message.headers["ce_id"]) for message in seen]) == by_key(
        [(key, str(event_id)) for key, event_id in expected]
    )


def test_a_message_is_a_cloud_event(cluster: MockCluster, sink: KafkaSink) -> None:
    append_events(1, 2, ("payment.created",))
    row = OutboxEvent.objects.get()
    OutboxEvent.objects.update(trace_context={"traceparent": "00-1-2-01"})
    assert relay.drain(sinks=[sink], fan_out_batch=fanout.fan_out_batch) == 1
    (message,) = cluster.everything()
    assert message.key == "PAY-1"
    assert json.loads(message.value) == row.data
    assert "测试".encode() in message.value
    assert message.headers == {
        "ce_specversion": "1.0",
        "ce_id": str(row.event_id),
        "ce_source": "/payment-platform",
        "ce_type": "payment.created",
        "ce_subject": "PAY-1",
        "ce_time": message.headers["ce_time"],
        "ce_environment": "test",
        "ce_merchantid": str(row.merchant_id),
        "ce_partitionkey": "PAY-1",
        "content-type": "application/json",
        "traceparent": "00-1-2-01",
    }


def test_without_a_broker_nothing_is_marked_and_nothing_is_sent_twice_later(
    cluster: MockCluster, sink: KafkaSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages in flight stay in flight: the next `send` does not send them again."""
    append_events(1, 2)
    relay.drain(sinks=[sink], fan_out_batch=fanout.fan_out_batch)
    monkeypatch.setattr(kafka, "SEND_SECONDS", 0.5)
    cluster.take_away()
    append_events(2, 40)
    for _again in range(3):
        with pytest.raises(SinkUnavailable):
            relay.drain(sinks=[sink], fan_out_batch=fanout.fan_out_batch)
    assert unpublished() == 38 * 3
    cluster.give_back()
    monkeypatch.setattr(kafka, "SEND_SECONDS", PATIENCE_SECONDS)
    relay.drain(sinks=[sink], fan_out_batch=fanout.fan_out_batch)
    assert unpublished() == 0
    messages = cluster.everything()
    assert_complete_and_in_order(messages)
    assert len(messages) == len(without_repetitions(messages))


def test_events_that_another_relay_has_sent_are_dropped(
    cluster: MockCluster, sink: KafkaSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_events(1, 2)
    cluster.take_away()
    monkeypatch.setattr(kafka, "SEND_SECONDS", 0.3)
    with pytest.raises(SinkUnavailable):
        relay.drain(sinks=[sink], fan_out_batch=fanout.fan_out_batch)
    OutboxEvent.objects.update(published_at="2026-01-01T00:00Z")
    append_events(2, 3)
    cluster.give_back()
    monkeypatch.setattr(kafka, "SEND_SECONDS", PATIENCE_SECONDS)
    assert relay.drain(sinks=[sink], fan_out_batch=fanout.fan_out_batch) == 3
    assert {message.key for message in cluster.everything()} >= {"PAY-2"}


class Relays:
    """Two relay processes. A killed one is restarted."""

    def __init__(self, brokers: str) -> None:
        database = str(connection.settings_dict["NAME"])
        self._environment = {
            **os.environ,
            "DB_NAME": database,
            "KAFKA_BROKERS": brokers,
            "LOG_LEVEL": "WARNING",
        }
        self._processes = [self._start() for _number in range(2)]

    def _start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "manage.py", "relay"], env=self._environment)

    def kill_one(self) -> None:
        number = random.randrange(2)
        assert self._processes[number].poll() is None, "a relay ended by itself"
        self._processes[number].kill()
        self._processes[number].wait()
        self._processes[number] = self._start()

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


def _some_more_are_published(before: int) -> bool:
    return OutboxEvent.objects.filter(published_at__isnull=False).count() > before


def test_killed_relays_and_broker_outages_lose_no_event(
    cluster: MockCluster, pytestconfig: pytest.Config
) -> None:
    """The broker disappears twice and relays are killed at random: every event arrives, in order for each payment."""
    payments = 10_000 if pytestconfig.getoption("--long") else 300
    rounds = 10 if payments > 1000 else 4
    outages = {1, rounds - 2}
    relays = Relays(cluster.brokers)
    try:
        for number in range(rounds):
            if number in outages:
                cluster.take_away()
            published = OutboxEvent.objects.filter(published_at__isnull=False).count()
            append_events(payments * number // rounds, payments * (number + 1) // rounds)
            if number in outages:
                relays.kill_one()
                cluster.give_back()
            wait_until(
                lambda: _some_more_are_published(published),  # noqa: B023 - asked within this turn
                PATIENCE_SECONDS,
                "the relays to go on",
            )
            relays.kill_one()
        wait_until(lambda: unpublished() == 0, PATIENCE_SECONDS, "the rest to leave")
    finally:
        relays.end()
    assert OutboxEvent.objects.count() == payments * len(TYPES)
    assert_complete_and_in_order(cluster.everything())
