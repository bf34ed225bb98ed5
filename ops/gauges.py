"""Gauges read from the database at scrape time, each served by a partial index."""

from collections.abc import Iterator

from django.db import OperationalError, connection
from django.db.backends.utils import CursorWrapper
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from psycopg_pool import PoolTimeout

from ops.consistency.registry import names

# Counting stops here: beyond it the number alone says enough, and a scrape stays cheap.
CAP = 10_000

_QUERIES = {
    "saga_steps_due": (
        "Steps whose retry is due",
        "SELECT 1 FROM saga_steps WHERE status = 'failed' AND next_retry_at <= now()",
    ),
    "saga_stuck": (
        "Sagas whose lease has expired and that nobody has taken over",
        "SELECT 1 FROM saga_instances WHERE status IN ('pending', 'in_progress') AND lease_expires_at <= now()",
    ),
    "saga_needs_attention": (
        "Sagas left to a person",
        "SELECT 1 FROM saga_instances WHERE needs_attention",
    ),
    "payment_needs_attention": (
        "Payments left to a person",
        "SELECT 1 FROM payments WHERE needs_attention",
    ),
    "outbox_pending": (
        "Events that have not left yet",
        "SELECT 1 FROM outbox_events WHERE published_at IS NULL",
    ),
}

_LAST_RESULTS = """
SELECT checks.name, latest.passed
FROM unnest(%s::text[]) AS checks(name) CROSS JOIN LATERAL (
    SELECT passed FROM consistency_results r WHERE r.name = checks.name ORDER BY id DESC LIMIT 1) AS latest
"""
_LAST_RUN = "SELECT extract(epoch FROM finished_at)::float8 FROM consistency_runs ORDER BY id DESC LIMIT 1"


class DatabaseGauges(Collector):
    """A database that does not answer leaves its gauges out rather than failing the scrape."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        try:
            with connection.cursor() as cursor:
                for name, (text, query) in _QUERIES.items():
                    cursor.execute(f"SELECT count(*) FROM ({query} LIMIT {CAP}) AS bounded")  # noqa: S608
                    yield GaugeMetricFamily(name, text, value=cursor.fetchone()[0])
                yield from _consistency(cursor)
        except (OperationalError, PoolTimeout):
            return


def _consistency(cursor: CursorWrapper) -> Iterator[GaugeMetricFamily]:
    """What each check said when it last ran. Nothing before the first run."""
    failed = GaugeMetricFamily(
        "consistency_check_failed", "Whether a consistency check failed when it last ran", labels=["check"]
    )
    cursor.execute(_LAST_RESULTS, [names()])
    for name, passed in cursor.fetchall():
        failed.add_metric([name], 0.0 if passed else 1.0)
    yield failed
    cursor.execute(_LAST_RUN)
    last_run = cursor.fetchone()
    if last_run is not None:
        yield GaugeMetricFamily(
            "consistency_last_run_timestamp_seconds",
            "When the consistency checks last ran",
            value=last_run[0],
        )
