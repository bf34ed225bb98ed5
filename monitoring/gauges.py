"""Gauges read at scrape time from the database, each served by a partial index, and from Redis."""

from collections.abc import Iterator

import redis
from django.conf import settings
from django.db import OperationalError, connection
from django.db.backends.utils import CursorWrapper
from django_redis import get_redis_connection
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from psycopg_pool import PoolTimeout

from common.postgresql.partitions import list_partitions
from events.relay import LEADER_LOCK
from monitoring.integrity.registry import list_check_names
from monitoring.partitions import PARTITIONED_TABLES, find_drop_delay

# Counting stops here, so that a scrape stays cheap.
CAP = 10_000

_LEADERS = f"""
SELECT count(*) FROM pg_locks
WHERE locktype = 'advisory' AND granted AND classid = 0 AND objid = {LEADER_LOCK} AND objsubid = 1
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""  # noqa: S608

_COUNTS = {
    "saga_steps_due": (
        "Steps whose retry is due",
        "SELECT 1 FROM saga_steps WHERE status = 'failed' AND next_retry_at <= now()",
    ),
    "saga_due": (
        "Sagas that are due and that no worker has claimed",
        "SELECT 1 FROM saga_instances WHERE due_at <= now()",
    ),
    "saga_needs_attention": (
        "Sagas that need review",
        "SELECT 1 FROM saga_instances WHERE needs_attention",
    ),
    "payment_needs_attention": (
        "Payments that need review",
        "SELECT 1 FROM payments WHERE needs_attention",
    ),
    "settlement_expectations_overdue": (
        "Movements of money that no statement has reported in time",
        "SELECT 1 FROM statement_expectations WHERE state = 'open' AND expected_by < now()",
    ),
    "ledger_rollup_queue_depth": (
        "Transfers of the ledger that are not added up in a daily balance yet",
        "SELECT 1 FROM ledger_rollup_queue",
    ),
    "disputes_due": (
        "Disputes without a response whose evidence is due within three days",
        "SELECT 1 FROM disputes WHERE status = 'needs_response' AND evidence_due_by > now()"
        " AND evidence_due_by < now() + interval '3 days'",
    ),
    "payments_in_suspense": (
        "Refunds and disputes that took more than their payment holds",
        "SELECT 1 FROM suspense_items WHERE status = 'open'"
        " UNION ALL SELECT 1 FROM disputes WHERE suspense_minor > 0",
    ),
    "report_runs_failing": (
        "Runs of scheduled reports that have failed, or were tried three times",
        "SELECT 1 FROM report_runs r JOIN report_schedules s ON s.id = r.schedule_id"
        " WHERE r.status = 'failed' AND s.ended_at IS NULL"
        " UNION ALL SELECT 1 FROM report_runs WHERE retry_at IS NOT NULL AND attempts >= 3",
    ),
    "outbox_depth": (
        "Events that were not sent yet",
        "SELECT 1 FROM outbox_events WHERE published_at IS NULL",
    ),
}
# Skips from group to group in the poller's index: no index is ordered by time alone.
_OLDEST_CHECK = """
WITH RECURSIVE walk AS (
    (SELECT environment, channel, merchant_id, check_count, next_check_at FROM payments
     WHERE next_check_at IS NOT NULL
     ORDER BY environment, channel, merchant_id, check_count, next_check_at LIMIT 1)
    UNION ALL
    SELECT next_group.* FROM walk CROSS JOIN LATERAL (
        SELECT environment, channel, merchant_id, check_count, next_check_at FROM payments
        WHERE next_check_at IS NOT NULL AND (environment, channel, merchant_id, check_count)
              > (walk.environment, walk.channel, walk.merchant_id, walk.check_count)
        ORDER BY environment, channel, merchant_id, check_count, next_check_at LIMIT 1) AS next_group
)
SELECT min(next_check_at) FROM walk WHERE next_check_at <= now()
"""
# Skips from chain to chain in the index of closes. The chain that is furthest behind counts.
_LAST_CLOSE = """
WITH RECURSIVE chain AS (
    (SELECT environment, currency FROM daily_closes ORDER BY environment, currency LIMIT 1)
    UNION ALL
    SELECT following.environment, following.currency FROM chain CROSS JOIN LATERAL (
        SELECT environment, currency FROM daily_closes
        WHERE (environment, currency) > (chain.environment, chain.currency)
        ORDER BY environment, currency LIMIT 1) AS following
)
SELECT min(last.day + 1)::timestamp AT TIME ZONE 'UTC' FROM chain CROSS JOIN LATERAL (
    SELECT max(day) AS day FROM daily_closes AS closed
    WHERE closed.environment = chain.environment AND closed.currency = chain.currency) AS last
"""
# Ages; 0 when nothing waits.
_OLDEST = {
    "payment_oldest_check_seconds": (
        "Lateness of the most overdue poll of an open payment",
        _OLDEST_CHECK,
    ),
    "saga_oldest_attention_seconds": (
        "Age of the oldest saga that needs review",
        "SELECT min(created_at) FROM saga_instances WHERE needs_attention",
    ),
    "payment_oldest_attention_seconds": (
        "Age of the oldest payment that needs review",
        "SELECT min(created_at) FROM payments WHERE needs_attention",
    ),
    "report_oldest_due_seconds": (
        "Lateness of the most overdue attempt of a scheduled report",
        "SELECT min(retry_at) FROM report_runs WHERE retry_at <= now()",
    ),
    "ledger_rollup_oldest_seconds": (
        "Age of the oldest transfer of the ledger that is not added up in a daily balance yet",
        "SELECT transfer.created_at FROM ledger_rollup_queue AS queued"
        " JOIN ledger_transfers AS transfer ON transfer.id = queued.transfer_id ORDER BY queued.transfer_id LIMIT 1",
    ),
    "ledger_last_close_seconds": (
        "Time since the end of the last closed day, of the environment and currency that is furthest behind",
        _LAST_CLOSE,
    ),
    "settlement_oldest_case_seconds": (
        "Age of the oldest settlement case that is neither decided nor asked at the channel",
        "SELECT min(opened_at) FROM settlement_cases WHERE state = 'open'",
    ),
    "payout_oldest_in_transit_seconds": (
        "Age of the oldest payout that the bank has not confirmed",
        "SELECT min(sent_at) FROM payouts WHERE status = 'in_transit'",
    ),
    "outbox_oldest_seconds": (
        "Age of the oldest event that was not sent yet",
        "SELECT created_at FROM outbox_events WHERE published_at IS NULL ORDER BY id LIMIT 1",
    ),
}
_SERVER = {
    "relay_leaders": (
        "Relay leaders: one, never two",
        _LEADERS,
    ),
    "database_connections": (
        "Sessions of clients at the database server",
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'",
    ),
    "database_max_connections": (
        "Sessions that the database server allows",
        "SELECT current_setting('max_connections')::int",
    ),
}

# Skips from queue to queue and key to key in the index of due sagas. Merchants are too many for labels, so they are
# counted.
_DUE_BY_QUEUE = """
WITH RECURSIVE walk AS (
    (SELECT task_queue, fairness_key, due_at FROM saga_instances WHERE due_at IS NOT NULL
     ORDER BY task_queue, fairness_key, due_at LIMIT 1)
    UNION ALL
    SELECT next_group.task_queue, next_group.fairness_key, next_group.due_at FROM walk CROSS JOIN LATERAL (
        SELECT task_queue, fairness_key, due_at FROM saga_instances
        WHERE due_at IS NOT NULL AND (task_queue, fairness_key) > (walk.task_queue, walk.fairness_key)
        ORDER BY task_queue, fairness_key, due_at LIMIT 1) AS next_group
)
SELECT queue, count(due_at)::int, coalesce(extract(epoch FROM clock_timestamp() - min(due_at)), 0)::float8
FROM unnest(%s::text[]) AS queue LEFT JOIN walk ON task_queue = queue AND due_at <= now()
GROUP BY queue
"""

_LAST_RESULTS = """
SELECT checks.name, latest.passed
FROM unnest(%s::text[]) AS checks(name) CROSS JOIN LATERAL (
    SELECT passed FROM consistency_results r WHERE r.name = checks.name ORDER BY id DESC LIMIT 1) AS latest
"""
_LAST_RUN = "SELECT extract(epoch FROM finished_at)::float8 FROM consistency_runs ORDER BY id DESC LIMIT 1"


def _statement() -> str:
    counts = [f"(SELECT count(*) FROM ({query} LIMIT {CAP}) AS bounded)" for _text, query in _COUNTS.values()]  # noqa: S608
    ages = [
        f"coalesce(extract(epoch FROM clock_timestamp() - ({query})), 0)::float8"
        for _text, query in _OLDEST.values()
    ]
    server = [f"({query})" for _text, query in _SERVER.values()]
    return f"SELECT {', '.join([*counts, *ages, *server])}"


_GAUGES = {name: text for queries in (_COUNTS, _OLDEST, _SERVER) for name, (text, _query) in queries.items()}
_ALL = _statement()


class DatabaseGauges(Collector):
    """Without the database, only `database_up` is exported, and the scrape succeeds."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        up = GaugeMetricFamily("database_up", "Whether PostgreSQL answered")
        try:
            with connection.cursor() as cursor:
                cursor.execute(_ALL)
                for (name, text), value in zip(_GAUGES.items(), cursor.fetchone(), strict=True):
                    yield GaugeMetricFamily(name, text, value=value)
                yield from _due_by_queue(cursor)
                yield from _consistency(cursor)
                yield from _partitions(cursor)
            up.add_metric([], 1)
        except (OperationalError, PoolTimeout):
            up.add_metric([], 0)
        yield up


class BrokerGauges(Collector):
    """The lengths of Celery's queues in Redis. Without Redis, only `redis_up` is exported.

    RabbitMQ has metrics of its own. A scrape does not ask it, because its client has no time limit for an answer.
    """

    def collect(self) -> Iterator[GaugeMetricFamily]:
        up = GaugeMetricFamily("redis_up", "Whether Redis answered")
        try:
            client = get_redis_connection("default")
            client.ping()
            gauges = _read_celery_queues(client) if settings.BROKER_IS_REDIS else []
        except redis.RedisError:
            up.add_metric([], 0)
        else:
            up.add_metric([], 1)
            yield from gauges
        yield up


def _read_celery_queues(client: "redis.Redis") -> list[GaugeMetricFamily]:
    prefix = settings.CELERY_BROKER_TRANSPORT_OPTIONS["global_keyprefix"]
    depth = GaugeMetricFamily("celery_queue_depth", "Tasks that wait for a worker", labels=["queue"])
    for queue in settings.CELERY_TASK_QUEUES:
        depth.add_metric([queue.name], client.llen(f"{prefix}{queue.name}"))
    taken = client.hlen(f"{prefix}unacked")
    return [depth, GaugeMetricFamily("celery_tasks_taken", "Tasks that a worker holds", value=taken)]


def _due_by_queue(cursor: CursorWrapper) -> Iterator[GaugeMetricFamily]:
    oldest = GaugeMetricFamily(
        "saga_oldest_due_seconds", "How long ago the oldest due saga fell due", labels=["task_queue"]
    )
    keys = GaugeMetricFamily(
        "saga_due_fairness_keys", "Fairness keys (merchants) that have a due saga", labels=["task_queue"]
    )
    cursor.execute(_DUE_BY_QUEUE, [list(settings.SAGA_TASK_QUEUES)])
    for queue, count, seconds in cursor.fetchall():
        oldest.add_metric([queue], seconds)
        keys.add_metric([queue], count)
    yield oldest
    yield keys


def _partitions(cursor: CursorWrapper) -> Iterator[GaugeMetricFamily]:
    ahead = GaugeMetricFamily(
        "partition_ahead_seconds", "Time until the last partition of a table ends", labels=["table"]
    )
    overdue = GaugeMetricFamily(
        "partition_overdue_seconds",
        "Time since the oldest partition of a table could be dropped",
        labels=["table"],
    )
    cursor.execute("SELECT extract(epoch FROM clock_timestamp())::float8")
    (now,) = cursor.fetchone()
    for table in PARTITIONED_TABLES:
        weeks = list_partitions(table)
        ahead.add_metric([table.name], weeks[-1].end.timestamp() - now if weeks else 0.0)
        dropped_at = weeks[0].end + find_drop_delay(table) if weeks else None
        overdue.add_metric([table.name], max(now - dropped_at.timestamp(), 0.0) if dropped_at else 0.0)
    yield ahead
    yield overdue


def _consistency(cursor: CursorWrapper) -> Iterator[GaugeMetricFamily]:
    """The last result of each integrity check. Nothing before the first run."""
    failed = GaugeMetricFamily(
        "consistency_check_failed", "Whether an integrity check failed when it last ran", labels=["check"]
    )
    cursor.execute(_LAST_RESULTS, [list_check_names()])
    for name, passed in cursor.fetchall():
        failed.add_metric([name], 0.0 if passed else 1.0)
    yield failed
    cursor.execute(_LAST_RUN)
    last_run = cursor.fetchone()
    if last_run is not None:
        yield GaugeMetricFamily(
            "consistency_last_run_timestamp_seconds",
            "When the integrity checks last ran",
            value=last_run[0],
        )
