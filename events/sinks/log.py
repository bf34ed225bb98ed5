"""Events as log lines: there is always one sink."""

from collections.abc import Sequence

import structlog

from common import tracing
from events import catalogue
from events.sinks.base import OutgoingEvent

log = structlog.get_logger(__name__)


class LogSink:
    """Logs one line for each event, without its data, which may name the customer."""

    name = "log"

    def send(self, events: Sequence[OutgoingEvent]) -> None:
        for event in events:
            key_name = "payment_no" if event.type in catalogue.PAYMENT_KEYED_TYPES else "ordering_key"
            with tracing.use_trace(event.trace_context):
                log.info(
                    "event.published",
                    event_id=str(event.event_id),
                    type=event.type,
                    merchant_id=str(event.merchant_id),
                    environment=event.environment,
                    **{key_name: event.ordering_key},
                )
