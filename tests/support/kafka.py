"""librdkafka's mock cluster over TCP, whose brokers a test can stop and start.

with MockCluster() as kafka:
    kafka.take_away()
    kafka.give_back()
    messages = kafka.everything()
"""

import ctypes
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import confluent_kafka
from confluent_kafka import Consumer, TopicPartition

from tests.support.waiting import PATIENCE_SECONDS

BROKERS, PARTITIONS = 3, 4
TOPIC = "payment.events"
_PRODUCER = 0


@dataclass(frozen=True)
class Received:
    key: str
    headers: dict[str, str]
    value: bytes


def _library() -> ctypes.CDLL:
    """Returns the library that confluent_kafka has loaded."""
    (path,) = (Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs").glob("librdkafka*")
    library = ctypes.CDLL(str(path))
    for name in ("rd_kafka_new", "rd_kafka_conf_new", "rd_kafka_mock_cluster_new"):
        getattr(library, name).restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    return library


class MockCluster:
    def __init__(self) -> None:
        self._library = _library()
        self._handle: Any = None
        self._cluster: Any = None

    def __enter__(self) -> Self:
        configuration = ctypes.c_void_p(self._library.rd_kafka_conf_new())
        reason = ctypes.create_string_buffer(512)
        self._handle = ctypes.c_void_p(self._library.rd_kafka_new(_PRODUCER, configuration, reason, 512))
        self._cluster = ctypes.c_void_p(self._library.rd_kafka_mock_cluster_new(self._handle, BROKERS))
        self._library.rd_kafka_mock_topic_create(self._cluster, TOPIC.encode(), PARTITIONS, BROKERS)
        return self

    def __exit__(self, *_error: object) -> None:
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._handle)

    @property
    def brokers(self) -> str:
        return str(self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode())

    def take_away(self) -> None:
        """Stops all brokers: they close their connections and accept none."""
        for broker in range(1, BROKERS + 1):
            self._library.rd_kafka_mock_broker_set_down(self._cluster, broker)

    def give_back(self) -> None:
        for broker in range(1, BROKERS + 1):
            self._library.rd_kafka_mock_broker_set_up(self._cluster, broker)

    def everything(self) -> list[Received]:
        """Returns all messages from the beginning, in order for each key."""
        consumer = Consumer(
            {"bootstrap.servers": self.brokers, "group.id": "reader", "enable.partition.eof": False}
        )
        try:
            ends = {
                number: consumer.get_watermark_offsets(
                    TopicPartition(TOPIC, number), timeout=PATIENCE_SECONDS
                )[1]
                for number in range(PARTITIONS)
            }
            consumer.assign([TopicPartition(TOPIC, number, 0) for number in range(PARTITIONS)])
            found: list[Received] = []
            give_up_at = time.monotonic() + PATIENCE_SECONDS
            while len(found) < sum(ends.values()):
                assert time.monotonic() < give_up_at, f"of {sum(ends.values())} messages came {len(found)}"
                for message in consumer.consume(500, timeout=0.2):
                    assert message.error() is None, message.error()
                    headers = {name: value.decode() for name, value in dict(message.headers()).items()}
                    found.append(Received(message.key().decode(), headers, message.value()))
            return found
        finally:
            consumer.close()
