"""The sinks of this installation. To add one, add a file with a class that has `send`, and a line here."""

from django.conf import settings

from events.sinks.base import Sink
from events.sinks.kafka import KafkaSink
from events.sinks.log import LogSink


def configured_sinks() -> list[Sink]:
    """Includes Kafka when KAFKA_BROKERS is set. Webhooks are not a sink: see `webhooks.fanout`."""
    if not settings.KAFKA_CONNECTION:
        return [LogSink()]
    return [KafkaSink(connection=settings.KAFKA_CONNECTION, topic=settings.KAFKA_TOPIC), LogSink()]
