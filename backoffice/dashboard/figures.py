"""The figures of the dashboard: past hours from the aggregates, the current hours from the payments themselves."""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from backoffice.dashboard.aggregation import HOUR, HOURS, MOVED_MONEY, bucket_ms
from backoffice.dashboard.groups import OutcomeTotals, PaidTotal
from backoffice.dashboard.merchant_figures import (
    MERCHANTS,
    SHOWN_MERCHANTS,
    MerchantFigures,
    build_merchant_figures,
)
from common.clock import database_now
from gateway.models import OPEN_PAYMENT_STATUSES, PaymentStatus
from monitoring.lag import LAGS

# The last hours are read from the payments themselves. If the aggregates are older than that, they are behind.
MAX_LIVE = dt.timedelta(hours=3)
MAX_OPEN_ITEMS = 1000

STATUS_GROUPS: dict[str, tuple[str, ...]] = {
    "succeeded": (PaymentStatus.SUCCEEDED,),
    "failed": (PaymentStatus.FAILED,),
    "closed": (PaymentStatus.CANCELLED, PaymentStatus.EXPIRED),
    "open": tuple(OPEN_PAYMENT_STATUSES),
}
_OUTCOME_OF = {status: outcome for outcome, statuses in STATUS_GROUPS.items() for status in statuses}

_PAYMENTS = """
SELECT date_trunc(%(unit)s, hour, 'UTC'), channel, status, sum(count)
FROM payment_hours WHERE hour >= %(start)s AND hour < %(from)s AND environment = %(environment)s
GROUP BY 1, 2, 3
UNION ALL
SELECT date_trunc(%(unit)s, created_at, 'UTC'), channel, status, count(*)
FROM payments WHERE created_at >= %(from)s AND environment = %(environment)s
GROUP BY 1, 2, 3
"""
# Paid and refunded in that time, regardless of when the payments were created.
_PAID = f"""
SELECT channel, currency, sum(paid), sum(refunded) FROM (
    SELECT channel, currency, captured_minor AS paid, refunded_minor AS refunded FROM paid_hours
    WHERE hour >= %(start)s AND hour < %(from)s AND environment = %(environment)s
    UNION ALL
    SELECT channel, currency, paid, refunded FROM ({MOVED_MONEY}) AS live WHERE environment = %(environment)s
) AS moved GROUP BY channel, currency ORDER BY currency
"""  # noqa: S608 - no part of it comes from outside
_LATENCY = """
SELECT channel, bucket, sum(count) FROM latency_hours WHERE hour >= %(start)s GROUP BY 1, 2 ORDER BY 1, 2
"""
# The same length of time directly before, whole hours only: payments of then have ended by now.
_PREVIOUS_PAYMENTS = """
SELECT channel, status, sum(count) FROM payment_hours
WHERE hour >= %(previous)s AND hour < %(previous_end)s AND environment = %(environment)s GROUP BY 1, 2
"""
_PREVIOUS_PAID = """
SELECT channel, currency, sum(captured_minor), sum(refunded_minor) FROM paid_hours
WHERE hour >= %(previous)s AND hour < %(previous_end)s AND environment = %(environment)s GROUP BY 1, 2
"""
_LAST_RUN = """
SELECT run.id, run.finished_at, result.name, result.passed, result.count
FROM (SELECT id, finished_at FROM consistency_runs ORDER BY id DESC LIMIT 1) AS run
LEFT JOIN consistency_results result ON result.run_id = run.id ORDER BY result.name
"""


@dataclass(frozen=True, slots=True)
class OpenItems:
    count: int
    oldest_seconds: float | None

    @property
    def is_truncated(self) -> bool:
        return self.count >= MAX_OPEN_ITEMS


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    name: str
    passed: bool
    count: int


@dataclass(frozen=True, slots=True)
class Latency:
    channel: str
    calls: int
    p50_ms: int
    p95_ms: int


@dataclass(slots=True)
class Figures:
    now: dt.datetime
    start: dt.datetime
    environment: str
    moments: Sequence[dt.datetime] = ()
    by_moment: dict[dt.datetime, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    channels: dict[str, OutcomeTotals] = field(default_factory=lambda: defaultdict(OutcomeTotals))
    total: OutcomeTotals = field(default_factory=OutcomeTotals)
    merchants: Sequence[MerchantFigures] = ()
    latencies: Sequence[Latency] = ()
    lags: dict[str, OpenItems] = field(default_factory=dict)
    run_id: int | None = None
    run_at: dt.datetime | None = None
    checks: Sequence[CheckOutcome] = ()
    behind: bool = False


def load_figures(*, span: dt.timedelta, by_day: bool, environment: str) -> Figures:
    now = database_now()
    unit = "day" if by_day else "hour"
    step = dt.timedelta(days=1) if by_day else HOUR
    first = _first_moment(now, by_day) - (span - step)
    figures = Figures(now=now, start=first, environment=environment)
    figures.moments = [first + n * step for n in range(span // step)]
    aggregated_until = _aggregated_until(now)
    live = max(aggregated_until, now - MAX_LIVE)
    figures.behind = aggregated_until < now - MAX_LIVE
    parameters = {
        "unit": unit,
        "start": first,
        "from": live,
        "until": now + MAX_LIVE,  # nothing is newer
        "environment": environment,
        "previous": first - span,
        "previous_end": now - span,
    }
    _add_channels(figures, parameters)
    figures.merchants = build_merchant_figures(_rows(MERCHANTS, {**parameters, "merchants": SHOWN_MERCHANTS}))
    figures.latencies = _latencies(_rows(_LATENCY, parameters))
    figures.lags = {name: OpenItems(*_rows(sql, {"most": MAX_OPEN_ITEMS})[0]) for name, sql in LAGS.items()}
    _add_last_check(figures)
    return figures


def _add_channels(figures: Figures, parameters: dict[str, Any]) -> None:
    channels = figures.channels
    for moment, channel, status, count in _rows(_PAYMENTS, parameters):
        outcome = _OUTCOME_OF[status]
        figures.by_moment[moment][outcome] += int(count)
        channels[channel].outcomes[outcome] += int(count)
    for channel, status, count in _rows(_PREVIOUS_PAYMENTS, parameters):
        channels[channel].previous_outcomes[_OUTCOME_OF[status]] += int(count)
    for channel, currency, paid, refunded in _rows(_PAID, parameters):
        channels[channel].paid[currency] = PaidTotal(int(paid), int(refunded))
    for channel, currency, paid, refunded in _rows(_PREVIOUS_PAID, parameters):
        channels[channel].previous_paid[currency] = PaidTotal(int(paid), int(refunded))
    for group in channels.values():
        figures.total.add(group)


def _aggregated_until(now: dt.datetime) -> dt.datetime:
    rows = _rows("SELECT position FROM dashboard_progress WHERE name = %(name)s", {"name": HOURS})
    return dt.datetime.fromtimestamp(rows[0][0], dt.UTC) if rows else now - dt.timedelta(days=3650)


def _latencies(rows: Iterable[tuple[str, int, int]]) -> list[Latency]:
    by_channel: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for channel, bucket, count in rows:
        by_channel[channel].append((bucket, int(count)))
    return [
        Latency(
            channel,
            sum(count for _bucket, count in buckets),
            _percentile(buckets, 0.5),
            _percentile(buckets, 0.95),
        )
        for channel, buckets in sorted(by_channel.items())
    ]


def _percentile(buckets: Sequence[tuple[int, int]], fraction: float) -> int:
    wanted = fraction * sum(count for _bucket, count in buckets)
    seen = 0
    for bucket, count in buckets:
        seen += count
        if seen >= wanted:
            return bucket_ms(bucket)
    raise AssertionError("the buckets add up to the total")


def _add_last_check(figures: Figures) -> None:
    rows = _rows(_LAST_RUN)
    if rows:
        figures.run_id, figures.run_at = rows[0][0], rows[0][1]
        figures.checks = [
            CheckOutcome(name, passed, count) for _run, _at, name, passed, count in rows if name
        ]


def _first_moment(now: dt.datetime, by_day: bool) -> dt.datetime:
    hour = now.replace(minute=0, second=0, microsecond=0)
    return hour.replace(hour=0) if by_day else hour


def _rows(sql: str, parameters: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows
