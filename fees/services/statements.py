"""Makes the statements of days and months that are over.

A day is over for statements when its daily close exists and all its transfers are added up. Each statement is made in a
transaction of its own, from the ledger; one that exists is left alone. So a crash loses nothing and repeats nothing.
"""

import datetime as dt
import hashlib
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Max, Min

from fees.models import MerchantStatement, StatementPeriod
from fees.statement_csv import write_csv
from fees.statement_lines import MerchantStatementIdentity, MerchantStatementLine, open_lines
from ledger.chart import MERCHANT_KINDS
from ledger.models import DailyBalance, DailyClose, RollupQueueItem

_ONE_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Chain:
    environment: str
    currency: str
    first_day: dt.date
    last_day: dt.date


@dataclass(frozen=True, slots=True)
class _Span:
    period: StatementPeriod
    first_day: dt.date
    last_day: dt.date


def close_statements() -> int:
    """Makes every statement that is due, oldest first. Returns how many."""
    return sum(
        _make_missing(chain, span)
        for chain in _list_chains()
        for period in StatementPeriod
        for span in _list_due_spans(chain, period)
    )


def open_statement_lines(
    statement: MerchantStatement,
) -> AbstractContextManager[Iterator[MerchantStatementLine]]:
    return open_lines(
        MerchantStatementIdentity(
            statement.merchant_id,
            statement.environment,
            statement.currency,
            statement.first_day,
            statement.last_day,
        )
    )


def _list_chains() -> list[_Chain]:
    """From the first closed day of each environment and currency to the last one of which nothing is in the queue."""
    queued_day = RollupQueueItem.objects.aggregate(day=Min("transfer__day"))["day"]
    chains = DailyClose.objects.values_list("environment", "currency").annotate(Min("day"), Max("day"))
    found = []
    for environment, currency, first_day, closed_day in chains.order_by("environment", "currency"):
        last_day = closed_day if queued_day is None else min(closed_day, queued_day - _ONE_DAY)
        found.append(_Chain(environment, currency, first_day, last_day))
    return found


def _list_due_spans(chain: _Chain, period: StatementPeriod) -> Iterator[_Span]:
    """The last span with a statement comes again: a crash may have left merchants out."""
    made = MerchantStatement.objects.filter(
        environment=chain.environment, currency=chain.currency, period=period
    ).aggregate(day=Max("first_day"))["day"]
    span = _span_of(period, made or chain.first_day)
    while span.last_day <= chain.last_day:
        yield span
        span = _span_of(period, span.last_day + _ONE_DAY)


def _span_of(period: StatementPeriod, day: dt.date) -> _Span:
    if period == StatementPeriod.DAY:
        return _Span(period, day, day)
    first_day = day.replace(day=1)
    next_month = (first_day + 31 * _ONE_DAY).replace(day=1)
    return _Span(period, first_day, next_month - _ONE_DAY)


def _make_missing(chain: _Chain, span: _Span) -> int:
    moved = DailyBalance.objects.filter(
        account__environment=chain.environment,
        account__currency=chain.currency,
        account__kind__in=MERCHANT_KINDS,
        day__range=(span.first_day, span.last_day),
    )
    merchant_ids: set[uuid.UUID] = set(moved.values_list("account__merchant_id", flat=True).distinct())
    merchant_ids -= set(
        MerchantStatement.objects.filter(
            environment=chain.environment,
            currency=chain.currency,
            period=span.period,
            first_day=span.first_day,
        ).values_list("merchant_id", flat=True)
    )
    return sum(_make_statement(chain, span, merchant_id) for merchant_id in sorted(merchant_ids))


@transaction.atomic
def _make_statement(chain: _Chain, span: _Span, merchant_id: uuid.UUID) -> int:
    """Returns 0 when nothing was posted, such as on a day with only pending refunds."""
    earlier = MerchantStatement.objects.filter(
        merchant_id=merchant_id,
        environment=chain.environment,
        currency=chain.currency,
        period=span.period,
        first_day__lt=span.first_day,
    )
    opening_minor = earlier.order_by("-first_day").values_list("closing_minor", flat=True).first() or 0
    identity = MerchantStatementIdentity(
        merchant_id, chain.environment, chain.currency, span.first_day, span.last_day
    )
    totals = Counter[str]()
    digest = hashlib.sha256()
    with open_lines(identity) as lines:
        for part in write_csv(_add_up(lines, totals), opening_minor=opening_minor, currency=chain.currency):
            digest.update(part)
    if totals["transaction_count"] == 0:
        return 0
    amounts = {name: totals[name] for name in _AMOUNTS.values()}
    close = DailyClose.objects.get(environment=chain.environment, currency=chain.currency, day=span.last_day)
    # Another process may have made the same one.
    MerchantStatement.objects.bulk_create(
        [
            MerchantStatement(
                merchant_id=merchant_id,
                environment=chain.environment,
                currency=chain.currency,
                period=span.period,
                first_day=span.first_day,
                last_day=span.last_day,
                opening_minor=opening_minor,
                closing_minor=opening_minor + sum(amounts.values()),
                transaction_count=totals["transaction_count"],
                csv_digest=digest.hexdigest(),
                close_digest=close.chain_digest,
                **amounts,
            )
        ],
        ignore_conflicts=True,
    )
    return 1


# By the first part of the event's name.
_AMOUNTS = {
    "payment": "payments_minor",
    "refund": "refunds_minor",
    "dispute": "disputes_minor",
    "fee": "fees_minor",
    "other": "other_minor",
}


def _add_up(lines: Iterable[MerchantStatementLine], totals: Counter[str]) -> Iterator[MerchantStatementLine]:
    """Passes the lines on and adds each one to the totals."""
    for line in lines:
        totals["transaction_count"] += 1
        kind = line.event.partition(".")[0]
        totals[_AMOUNTS.get(kind, _AMOUNTS["other"])] += line.amount_minor
        totals[_AMOUNTS["fee"]] += line.fee_minor
        yield line
