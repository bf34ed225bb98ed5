"""The figures of the dashboard: past hours from the aggregates, the current hours from the payments themselves."""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from backoffice.dashboard.aggregation import HOUR, HOURS, bucket_ms
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
FROM payment_hours WHERE hour >= %(start)s AND hour < %(live)s AND environment = %(environment)s
GROUP BY 1, 2, 3
UNION ALL
SELECT date_trunc(%(unit)s, created_at, 'UTC'), channel, status, count(*)
FROM payments WHERE created_at >= %(live)s AND environment = %(environment)s
GROUP BY 1, 2, 3
"""
# Paid and refunded in that time, regardless of when the payments were created.
_PAID = """
SELECT currency, sum(paid), sum(refunded) FROM (
    SELECT currency, captured_minor AS paid, refunded_minor AS refunded FROM paid_hours
    WHERE hour >= %(start)s AND hour < %(live)s AND environment = %(environment)s
    UNION ALL
    SELECT currency, captured_minor, 0 FROM payments
    WHERE paid_at >= %(live)s AND environment = %(environment)s
      AND NOT EXISTS (SELECT FROM captures WHERE payment_id = payments.id AND status = 'succeeded')
    UNION ALL
    SELECT payment.currency, capture.amount_minor, 0
    FROM captures AS capture JOIN payments AS payment ON payment.id = capture.payment_id
    WHERE capture.settled_at >= %(live)s AND capture.status = 'succeeded' AND payment.environment = %(environment)s
    UNION ALL
    SELECT currency, 0, amount_minor FROM refunds
    WHERE settled_at >= %(live)s AND status = 'succeeded' AND surplus_of_id IS NULL AND environment = %(environment)s
) AS moved GROUP BY currency ORDER BY currency
"""
_LATENCY = """
SELECT channel, bucket, sum(count) FROM latency_hours WHERE hour >= %(start)s GROUP BY 1, 2 ORDER BY 1, 2
"""
# The same length of time directly before, whole hours only: payments of then have ended by now.
_PREVIOUS_PAYMENTS = """
SELECT channel, status, sum(count) FROM payment_hours
WHERE hour >= %(previous)s AND hour < %(previous_end)s AND environment = %(environment)s GROUP BY 1, 2
"""
_PREVIOUS_PAID = """
SELECT currency, sum(captured_minor), sum(refunded_minor) FROM paid_hours
WHERE hour >= %(previous)s AND hour < %(previous_end)s AND environment = %(environment)s GROUP BY 1
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


@dataclass(frozen=True, slots=True)
class PaidTotal:
    """In minor units of one currency."""

    captured_minor: int
    refunded_minor: int

    @property
    def net_minor(self) -> int:
        """Negative when more was refunded, also of older payments, than captured."""
        return self.captured_minor - self.refunded_minor


@dataclass(slots=True)
class Figures:
    now: dt.datetime
    start: dt.datetime
    environment: str
    moments: Sequence[dt.datetime] = ()
    by_moment: dict[dt.datetime, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    by_channel: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    by_currency: dict[str, PaidTotal] = field(default_factory=dict)
    previous_by_channel: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    previous_by_currency: dict[str, PaidTotal] = field(default_factory=dict)
    latencies: Sequence[Latency] = ()
    lags: dict[str, OpenItems] = field(default_factory=dict)
    run_id: int | None = None
    run_at: dt.datetime | None = None
    checks: Sequence[CheckOutcome] = ()
    behind: bool = False

    @property
    def outcomes(self) -> Counter[str]:
        return sum(self.by_channel.values(), Counter())

    @property
    def previous_outcomes(self) -> Counter[str]:
        return sum(self.previous_by_channel.values(), Counter())


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
        "live": live,
        "environment": environment,
        "previous": first - span,
        "previous_end": now - span,
    }
    _count_payments(figures, _rows(_PAYMENTS, parameters))
    figures.by_currency = {
        name: PaidTotal(int(paid), int(back)) for name, paid, back in _rows(_PAID, parameters)
    }
    _add_previous(figures, parameters)
    figures.latencies = _latencies(_rows(_LATENCY, parameters))
    figures.lags = {name: OpenItems(*_rows(sql, {"most": MAX_OPEN_ITEMS})[0]) for name, sql in LAGS.items()}
    _add_last_check(figures)
    return figures


def success_rate(outcomes: Counter[str]) -> float | None:
    """Returns succeeded / (succeeded + failed). Payments that the customer abandoned do not count."""
    ended = outcomes["succeeded"] + outcomes["failed"]
    return outcomes["succeeded"] / ended if ended else None


def _count_payments(figures: Figures, rows: Iterable[tuple[Any, ...]]) -> None:
    for moment, channel, status, count in rows:
        outcome = _OUTCOME_OF[status]
        figures.by_moment[moment][outcome] += int(count)
        figures.by_channel[channel][outcome] += int(count)


def _add_previous(figures: Figures, parameters: dict[str, Any]) -> None:
    for channel, status, count in _rows(_PREVIOUS_PAYMENTS, parameters):
        figures.previous_by_channel[channel][_OUTCOME_OF[status]] += int(count)
    figures.previous_by_currency = {
        name: PaidTotal(int(paid), int(back)) for name, paid, back in _rows(_PREVIOUS_PAID, parameters)
    }


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
