"""Adds up the hours that are over. Each part is one transaction that locks its own row of `dashboard_progress`: two
workers at once add up the same hour one after the other, and with the same result."""

import datetime as dt
import math
from typing import Final

from django.db import connection, transaction

from backoffice.dashboard.models import LatencyHour, PaidHour, PaymentHour, Progress
from common.clock import database_now
from gateway.models import OPEN_PAYMENT_STATUSES

HOURS, CALLS = "hours", "calls"
HOUR: Final = dt.timedelta(hours=1)
KEPT: Final = dt.timedelta(days=31)
AT_ONCE: Final = 48  # hours in one transaction
OPEN_AT_ONCE: Final = 200
CONTRADICTED: Final = dt.timedelta(hours=2)  # so long a contradiction is looked at, every minute
CALLS_AT_ONCE: Final = 50_000
BATCHES: Final = 20
# Younger events may have older ones beside them that are not committed yet: no transaction lives that long.
SETTLED: Final = dt.timedelta(minutes=2)
# A bucket is a fifth wider than the one before: percentiles are right to a fifth.
GROWTH: Final = 1.2

_ADD_UP = """
INSERT INTO payment_hours (hour, environment, channel, currency, status, count, amount_minor)
SELECT date_trunc('hour', created_at, 'UTC'), environment, channel, currency, status, count(*), sum(amount_minor)
FROM payments WHERE created_at >= %(start)s AND created_at < %(end)s
GROUP BY 1, 2, 3, 4, 5
"""
_ADD_UP_PAID = """
INSERT INTO paid_hours (hour, environment, currency, captured_minor, refunded_minor)
SELECT date_trunc('hour', at, 'UTC'), environment, currency, sum(paid), sum(refunded) FROM (
    SELECT paid_at AS at, environment, currency, captured_minor AS paid, 0 AS refunded FROM payments
    WHERE paid_at >= %(start)s AND paid_at < %(end)s
    UNION ALL
    SELECT settled_at, environment, currency, 0, amount_minor FROM refunds
    WHERE settled_at >= %(start)s AND settled_at < %(end)s AND status = 'succeeded' AND surplus_of_id IS NULL
) AS moved GROUP BY 1, 2, 3
"""
# A refund that had succeeded and failed after all.
_CONTRADICTED_HOURS = """
SELECT DISTINCT date_trunc('hour', settled_at, 'UTC') AS hour FROM refunds
WHERE contradicted_at >= %(since)s AND settled_at < %(before)s ORDER BY hour DESC LIMIT %(most)s
"""
_OPEN_HOURS = """
SELECT DISTINCT hour FROM payment_hours
WHERE status = ANY(%(open)s) AND hour < %(before)s ORDER BY hour DESC LIMIT %(most)s
"""
_CALLS = """
WITH seen AS (
    SELECT id, saga_id, duration_ms, created_at FROM saga_events
    WHERE id > %(after)s AND id <= %(after)s + %(most)s
), taken AS (
    SELECT * FROM seen
    WHERE id < coalesce((SELECT min(id) FROM seen WHERE created_at >= %(settled)s), %(after)s + %(most)s + 1)
), added AS (
    INSERT INTO latency_hours (hour, channel, bucket, count)
    SELECT date_trunc('hour', t.created_at, 'UTC'), s.metadata->>'channel',
           ceil(ln(greatest(t.duration_ms, 1)) / ln(%(growth)s)), count(*)
    FROM taken t JOIN saga_instances s ON s.id = t.saga_id
    WHERE t.duration_ms IS NOT NULL AND s.metadata->>'channel' IS NOT NULL
    GROUP BY 1, 2, 3
    ON CONFLICT (hour, channel, bucket) DO UPDATE SET count = latency_hours.count + excluded.count
)
SELECT max(id) FROM taken
"""


def aggregate_hours() -> int:
    """Answers how many hours were added up, for the first time or anew."""
    hours = 0
    while (count := _add_up_new()) > 0:
        hours += count
    hours += _add_up_open()
    hours += _add_up_contradicted()
    for _batch in range(BATCHES):
        if not _add_up_calls():
            break
    return hours


def rebuild() -> None:
    """Adds up everything anew: for demo data, which has been moved into hours that were added up already."""
    with transaction.atomic():
        for name in (HOURS, CALLS):
            _locked(name).delete()
        PaymentHour.objects.all().delete()
        PaidHour.objects.all().delete()
        LatencyHour.objects.all().delete()
    aggregate_hours()


def _add_up_new() -> int:
    with transaction.atomic():
        progress = _locked(HOURS)
        now = database_now()
        end = _hour_of(now - SETTLED)
        start = max(_first_hour(end), dt.datetime.fromtimestamp(progress.position, dt.UTC))
        end = min(end, start + AT_ONCE * HOUR)
        if start >= end:
            return 0
        _replace(start, end)
        _replace_paid(start, end)
        progress.position = int(end.timestamp())
        progress.save()
        return (end - start) // HOUR


def _add_up_open() -> int:
    """What was open when its hour was added up may have ended since; nothing else of an old hour can change."""
    with transaction.atomic():
        _locked(HOURS)
        with connection.cursor() as cursor:
            statuses = [str(status) for status in OPEN_PAYMENT_STATUSES]
            cursor.execute(_OPEN_HOURS, {"open": statuses, "before": database_now(), "most": OPEN_AT_ONCE})
            hours = [hour for (hour,) in cursor.fetchall()]
        for hour in hours:
            _replace(hour, hour + HOUR)
        return len(hours)


def _add_up_contradicted() -> int:
    """Hours in which a refund stands that the channel has told otherwise about since."""
    with transaction.atomic():
        added_up = dt.datetime.fromtimestamp(_locked(HOURS).position, dt.UTC)
        with connection.cursor() as cursor:
            since = database_now() - CONTRADICTED
            cursor.execute(_CONTRADICTED_HOURS, {"since": since, "before": added_up, "most": OPEN_AT_ONCE})
            hours = [hour for (hour,) in cursor.fetchall()]
        for hour in hours:
            _replace_paid(hour, hour + HOUR)
        return len(hours)


def _replace(start: dt.datetime, end: dt.datetime) -> None:
    with connection.cursor() as cursor:
        span = {"start": start, "end": end}
        cursor.execute("DELETE FROM payment_hours WHERE hour >= %(start)s AND hour < %(end)s", span)
        cursor.execute(_ADD_UP, span)


def _replace_paid(start: dt.datetime, end: dt.datetime) -> None:
    with connection.cursor() as cursor:
        span = {"start": start, "end": end}
        cursor.execute("DELETE FROM paid_hours WHERE hour >= %(start)s AND hour < %(end)s", span)
        cursor.execute(_ADD_UP_PAID, span)


def _add_up_calls() -> bool:
    """False when there is nothing more to add."""
    with transaction.atomic():
        progress = _locked(CALLS)
        with connection.cursor() as cursor:
            cursor.execute("SELECT min(id) FROM saga_events WHERE id > %s", [progress.position])
            (first,) = cursor.fetchone()
            if first is None:
                return False
            after = first - 1  # ids may have gaps, as after a pruning
            settled = database_now() - SETTLED
            given = {"after": after, "most": CALLS_AT_ONCE, "settled": settled, "growth": GROWTH}
            cursor.execute(_CALLS, given)
            (last,) = cursor.fetchone()
        if last is None:
            return False
        progress.position = last
        progress.save()
        return bool(last - after == CALLS_AT_ONCE)


def bucket_ms(bucket: int) -> int:
    """The longest call that falls into it."""
    return math.ceil(GROWTH**bucket)


def _locked(name: str) -> Progress:
    Progress.objects.get_or_create(name=name)
    return Progress.objects.select_for_update().get(name=name)


def _first_hour(end: dt.datetime) -> dt.datetime:
    return end - KEPT


def _hour_of(moment: dt.datetime) -> dt.datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
