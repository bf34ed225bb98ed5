"""Sends events out of the outbox: each at least once, those of one ordering key in order.

There are two ways out, each with its own column, so that an outage of one does not delay the other:

- To the sinks, in order. One relay is the leader: it holds an advisory lock on the same session with which it reads and
  marks, so a relay that lost its session can mark nothing. The others stand by.
- To webhook deliveries, whose order does not matter: every relay fans out, each other rows (`webhooks.fanout`).

Events are marked row by row. A high-water mark would lose an event whose transaction took its id early and committed
late.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import structlog
from psycopg.rows import class_row

from common import tracing
from common.database_errors import classify_database_error
from common.postgresql.sessions import open_locking_session
from events import metrics
from events.sinks.base import OutgoingEvent, Sink, SinkUnavailable

log = structlog.get_logger(__name__)

BATCH = 500
POLL_SECONDS = 0.2
RECONNECT_SECONDS = 2.0
LEADER_LOCK = 4009  # any number, the same in every relay

Session = psycopg.Connection[Any]

UNPUBLISHED = """
SELECT id, event_id, type, ordering_key, merchant_id, environment, subject_id, data, trace_context, created_at
FROM outbox_events WHERE published_at IS NULL ORDER BY id LIMIT %s
"""
_MARK_PUBLISHED = (
    "UPDATE outbox_events SET published_at = clock_timestamp() WHERE id = ANY(%s) AND published_at IS NULL"
)


def run(*, sinks: Sequence[Sink], fan_out: Callable[[threading.Event], None], stop: threading.Event) -> None:
    """Works until `stop` is set. Survives restarts of the database and outages of sinks."""
    metrics.announce_sinks(sink.name for sink in sinks)
    with ThreadPoolExecutor(1, thread_name_prefix="fan-out") as pool:
        fan_out_future = pool.submit(fan_out, stop)
        fan_out_future.add_done_callback(lambda _done: stop.set())
        try:
            _publish_until_stopped(sinks, stop)
        finally:
            stop.set()
    fan_out_future.result()
    log.info("relay.stopped")


def _publish_until_stopped(sinks: Sequence[Sink], stop: threading.Event) -> None:
    is_connected = True  # each outage is logged once
    while not stop.is_set():
        try:
            with open_relay_session() as session:
                is_connected = True
                if _wait_for_leadership(session, stop):
                    _publish_as_leader(session, sinks, stop)
        except psycopg.Error as error:
            if classify_database_error(error) is None:
                raise
            if is_connected:
                log.warning("relay.database_lost", reason=_first_line(error), retry_seconds=RECONNECT_SECONDS)
            is_connected = False
            stop.wait(RECONNECT_SECONDS)


def drain(*, sinks: Sequence[Sink], fan_out_batch: Callable[[], int]) -> int:
    """Sends all events that are in the outbox now. Returns how many the sinks got. Raises `SinkUnavailable`.

    When another relay is the leader, the sinks are left to it.
    """
    while fan_out_batch():
        pass
    sent = 0
    with open_relay_session() as session:
        if not _try_to_lead(session):
            return 0
        while batch := publish_batch(session, sinks):
            sent += batch
    return sent


def open_relay_session() -> Session:
    """Opens a session outside the pool: a pooled one would keep the advisory lock after it is released.

    When the leader loses the database, keepalives tell both sides.
    """
    return open_locking_session()


def publish_batch(session: Session, sinks: Sequence[Sink]) -> int:
    """Sends the oldest events to every sink, then marks them. Raises `SinkUnavailable` and marks none.

    Returns the number of events.
    """
    with session.cursor(row_factory=class_row(OutgoingEvent)) as cursor:
        events = cursor.execute(UNPUBLISHED, [BATCH]).fetchall()
    if not events:
        return 0
    started_ns = time.time_ns()
    for sink in sinks:
        try:
            sink.send(events)
        except SinkUnavailable:
            metrics.REFUSED.labels(sink.name).inc()
            raise
    session.execute(_MARK_PUBLISHED, [[event.id for event in events]])
    for event in events:
        metrics.PUBLISHED.labels(event.type).inc()
        attributes = {
            "event.type": event.type,
            "event.id": str(event.event_id),
            "event.key": event.ordering_key,
        }
        tracing.record_span("outbox publish", event.trace_context, started_ns, attributes)
    return len(events)


def _wait_for_leadership(session: Session, stop: threading.Event) -> bool:
    """Returns False if `stop` was set first."""
    if _try_to_lead(session):
        log.info("relay.leading")
        return True
    log.info("relay.standing_by")
    while not stop.wait(POLL_SECONDS):
        if _try_to_lead(session):
            log.info("relay.leading")
            return True
    return False


def _try_to_lead(session: Session) -> bool:
    row = session.execute("SELECT pg_try_advisory_lock(%s)", [LEADER_LOCK]).fetchone()
    return bool(row and row[0])


def _publish_as_leader(session: Session, sinks: Sequence[Sink], stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            sent = publish_batch(session, sinks)
        except SinkUnavailable as error:
            log.warning("relay.sink_unavailable", reason=str(error), retry_seconds=POLL_SECONDS)
            sent = 0
        if sent < BATCH:
            stop.wait(POLL_SECONDS)


def _first_line(error: psycopg.Error) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
