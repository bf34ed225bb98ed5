"""Aggregates payments, amounts and channel latencies by hour, for the dashboard.

Each part is one transaction that locks its own row of `dashboard_progress`. Two workers at the same time aggregate the
same hour one after the other, with the same result.
"""

import datetime as dt
import math
from typing import Final

from django.db import connection, transaction

from backoffice.dashboard.models import LatencyHour, MerchantHour, PaidHour, PaymentHour, Progress
from common.clock import database_now
from gateway.models import OPEN_PAYMENT_STATUSES

HOURS, CALLS = "hours", "calls"
HOUR: Final = dt.timedelta(hours=1)
# A month, and the month before it for comparison.
RETENTION: Final = dt.timedelta(days=62)
HOURS_PER_TRANSACTION: Final = 48
MAX_OPEN_HOURS: Final = 200
CONTRADICTION_WINDOW: Final = dt.timedelta(hours=2)  # hours of newer contradictions are aggregated again
CALLS_PER_BATCH: Final = 50_000
MAX_BATCHES: Final = 20
# Older events than these are all committed: no transaction lives that long.
COMMIT_DELAY: Final = dt.timedelta(minutes=2)
# Each bucket is a fifth wider than the one before, so percentiles are exact to a fifth.
GROWTH: Final = 1.2

_AGGREGATE_PAYMENTS = """
INSERT INTO payment_hours (hour, environment, channel, currency, status, count, amount_minor)
SELECT date_trunc('hour', created_at, 'UTC'), environment, channel, currency, status, count(*), sum(amount_minor)
FROM payments WHERE created_at >= %(from)s AND created_at < %(until)s
GROUP BY 1, 2, 3, 4, 5
"""
# A refund belongs to the channel of its payment, so that a channel's refunds and captures are of the same payments.
MOVED_MONEY: Final = """
    SELECT paid_at AS at, environment, channel, merchant_id, currency, captured_minor AS paid, 0 AS refunded
    FROM payments
    WHERE paid_at >= %(from)s AND paid_at < %(until)s
      AND NOT EXISTS (SELECT FROM captures WHERE payment_id = payments.id AND status = 'succeeded')
    UNION ALL
    SELECT capture.settled_at, payment.environment, payment.channel, payment.merchant_id, payment.currency,
           capture.amount_minor, 0
    FROM captures AS capture JOIN payments AS payment ON payment.id = capture.payment_id
    WHERE capture.settled_at >= %(from)s AND capture.settled_at < %(until)s AND capture.status = 'succeeded'
    UNION ALL
    SELECT refund.settled_at, refund.environment, payment.channel, refund.merchant_id, refund.currency,
           0, refund.amount_minor
    FROM refunds AS refund JOIN payments AS payment ON payment.id = refund.payment_id
    WHERE refund.settled_at >= %(from)s AND refund.settled_at < %(until)s AND refund.status = 'succeeded'
      AND refund.duplicate_attempt_id IS NULL
"""
_AGGREGATE_PAID = f"""
INSERT INTO paid_hours (hour, environment, channel, currency, captured_minor, refunded_minor)
SELECT date_trunc('hour', at, 'UTC'), environment, channel, currency, sum(paid), sum(refunded)
FROM ({MOVED_MONEY}) AS moved GROUP BY 1, 2, 3, 4
"""  # noqa: S608 - no part of it comes from outside
_AGGREGATE_MERCHANTS = f"""
INSERT INTO merchant_hours (
    hour, environment, merchant_id, currency,
    payment_count, succeeded_count, failed_count, captured_minor, refunded_minor
)
SELECT date_trunc('hour', at, 'UTC'), environment, merchant_id, currency,
       sum(created), sum(succeeded), sum(failed), sum(paid), sum(refunded)
FROM (
    SELECT created_at AS at, environment, merchant_id, currency, 1 AS created,
           (status = 'succeeded')::int AS succeeded, (status = 'failed')::int AS failed, 0 AS paid, 0 AS refunded
    FROM payments WHERE created_at >= %(from)s AND created_at < %(until)s
    UNION ALL
    SELECT at, environment, merchant_id, currency, 0, 0, 0, paid, refunded FROM ({MOVED_MONEY}) AS moved
) AS both_kinds GROUP BY 1, 2, 3, 4
"""  # noqa: S608 - no part of it comes from outside
# Hours with a refund that succeeded and that the channel later reported as failed.
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
    """Aggregates new hours and hours that have changed. Returns how many."""
    hours = 0
    while (count := _aggregate_new_hours()) > 0:
        hours += count
    hours += _aggregate_open_hours()
    hours += _aggregate_contradicted_hours()
    for _batch in range(MAX_BATCHES):
        if not _aggregate_calls():
            break
    return hours


def rebuild() -> None:
    """Aggregates everything again: for demo data, which is moved into hours that have been aggregated."""
    with transaction.atomic():
        for name in (HOURS, CALLS):
            _lock_progress(name).delete()
        PaymentHour.objects.all().delete()
        PaidHour.objects.all().delete()
        MerchantHour.objects.all().delete()
        LatencyHour.objects.all().delete()
    aggregate_hours()


def _aggregate_new_hours() -> int:
    with transaction.atomic():
        progress = _lock_progress(HOURS)
        now = database_now()
        end = _start_of_hour(now - COMMIT_DELAY)
        start = max(_oldest_kept_hour(end), dt.datetime.fromtimestamp(progress.position, dt.UTC))
        end = min(end, start + HOURS_PER_TRANSACTION * HOUR)
        if start >= end:
            return 0
        _replace_payment_hours(start, end)
        _replace_paid_hours(start, end)
        _replace_merchant_hours(start, end)
        progress.position = int(end.timestamp())
        progress.save()
        return (end - start) // HOUR


def _aggregate_open_hours() -> int:
    """Payments that were open when their hour was aggregated may have ended. Nothing else of an old hour can change."""
    with transaction.atomic():
        _lock_progress(HOURS)
        with connection.cursor() as cursor:
            statuses = [str(status) for status in OPEN_PAYMENT_STATUSES]
            cursor.execute(_OPEN_HOURS, {"open": statuses, "before": database_now(), "most": MAX_OPEN_HOURS})
            hours = [hour for (hour,) in cursor.fetchall()]
        for hour in hours:
            _replace_payment_hours(hour, hour + HOUR)
            _replace_merchant_hours(hour, hour + HOUR)
        return len(hours)


def _aggregate_contradicted_hours() -> int:
    """Hours with a refund for which the channel has reported another outcome since."""
    with transaction.atomic():
        aggregated_until = dt.datetime.fromtimestamp(_lock_progress(HOURS).position, dt.UTC)
        with connection.cursor() as cursor:
            since = database_now() - CONTRADICTION_WINDOW
            cursor.execute(
                _CONTRADICTED_HOURS, {"since": since, "before": aggregated_until, "most": MAX_OPEN_HOURS}
            )
            hours = [hour for (hour,) in cursor.fetchall()]
        for hour in hours:
            _replace_paid_hours(hour, hour + HOUR)
            _replace_merchant_hours(hour, hour + HOUR)
        return len(hours)


def _replace_payment_hours(start: dt.datetime, end: dt.datetime) -> None:
    _replace("payment_hours", _AGGREGATE_PAYMENTS, start, end)


def _replace_paid_hours(start: dt.datetime, end: dt.datetime) -> None:
    _replace("paid_hours", _AGGREGATE_PAID, start, end)


def _replace_merchant_hours(start: dt.datetime, end: dt.datetime) -> None:
    _replace("merchant_hours", _AGGREGATE_MERCHANTS, start, end)


def _replace(table: str, aggregate: str, start: dt.datetime, end: dt.datetime) -> None:
    span = {"from": start, "until": end}
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {table} WHERE hour >= %(from)s AND hour < %(until)s", span)  # noqa: S608
        cursor.execute(aggregate, span)


def _aggregate_calls() -> bool:
    """Returns whether there may be more calls to aggregate."""
    with transaction.atomic():
        progress = _lock_progress(CALLS)
        with connection.cursor() as cursor:
            cursor.execute("SELECT min(id) FROM saga_events WHERE id > %s", [progress.position])
            (first,) = cursor.fetchone()
            if first is None:
                return False
            after = first - 1  # ids may have gaps, for instance after pruning
            settled = database_now() - COMMIT_DELAY
            parameters = {"after": after, "most": CALLS_PER_BATCH, "settled": settled, "growth": GROWTH}
            cursor.execute(_CALLS, parameters)
            (last,) = cursor.fetchone()
        if last is None:
            return False
        progress.position = last
        progress.save()
        return bool(last - after == CALLS_PER_BATCH)


def bucket_ms(bucket: int) -> int:
    """Returns the longest duration of the bucket."""
    return math.ceil(GROWTH**bucket)


def _lock_progress(name: str) -> Progress:
    Progress.objects.get_or_create(name=name)
    return Progress.objects.select_for_update().get(name=name)


def _oldest_kept_hour(end: dt.datetime) -> dt.datetime:
    return end - RETENTION


def _start_of_hour(moment: dt.datetime) -> dt.datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
