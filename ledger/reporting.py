"""Totals of the ledger by day, for reports (docs/REPORTS.md).

They are read from the daily balances, which are a row for each account and day, and never from transfers. Days are days
in UTC, as in the ledger. What `roll_up` has not added up yet is missing.
"""

import datetime as dt
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.db import connections, transaction

from common.postgresql.replica import PRIMARY
from ledger.chart import FEE_KINDS, MERCHANT_KINDS

STATEMENT_TIMEOUT_SECONDS: Final = 600
_CHUNK_ROWS: Final = 2_000

# The filters are text and not parameters with a default, so that each set of filters has a plan of its own.
_FILTERS: Final = {
    "environment": "account.environment = %(environment)s",
    "merchant_id": "account.merchant_id = %(merchant_id)s",
    "channel": "account.channel = %(channel)s",
    "currency": "account.currency = %(currency)s",
}
_TOTALS = """
SELECT balance.day, account.environment, account.merchant_id, account.channel, account.currency,
    coalesce(sum(balance.posted_credit_minor) FILTER (WHERE kind = 'merchant_payable'), 0)::bigint,
    coalesce(sum(posted_debit_minor - posted_credit_minor) FILTER (WHERE kind = 'payouts'), 0)::bigint,
    coalesce(sum(posted_debit_minor - posted_credit_minor) FILTER (WHERE kind = 'refunds'), 0)::bigint,
    coalesce(sum(posted_debit_minor - posted_credit_minor) FILTER (WHERE kind = 'disputes'), 0)::bigint,
    coalesce(sum(posted_debit_minor - posted_credit_minor) FILTER (WHERE kind = ANY(%(fee_kinds)s)), 0)::bigint,
    coalesce(sum(posted_credit_minor - posted_debit_minor) FILTER (WHERE kind = ANY(%(merchant_kinds)s)), 0)::bigint,
    coalesce(sum(posted_credit_minor - posted_debit_minor) FILTER (WHERE kind = 'fee_income'), 0)::bigint,
    coalesce(sum(posted_debit_minor - posted_credit_minor) FILTER (WHERE kind = 'channel_fees'), 0)::bigint,
    coalesce(sum(balance.entry_count) FILTER (WHERE kind = 'merchant_payable'), 0)::bigint
FROM ledger_daily_balances AS balance JOIN ledger_accounts AS account ON account.id = balance.account_id
WHERE balance.day >= %(start)s AND balance.day < %(end)s AND {filters}
GROUP BY balance.day, account.environment, account.merchant_id, account.channel, account.currency
ORDER BY balance.day, account.environment, account.merchant_id NULLS FIRST, account.channel, account.currency
LIMIT %(limit)s
"""
# The day before the period holds all that came before. A day without movement has the balance of the day before.
_BALANCES = """
WITH moved AS (
    SELECT account.environment, account.merchant_id, account.channel, account.currency,
        greatest(balance.day, %(start)s::date - 1) AS day,
        sum(posted_credit_minor - posted_debit_minor) AS posted,
        sum(pending_debit_minor - pending_credit_minor) AS reserved
    FROM ledger_accounts AS account JOIN ledger_daily_balances AS balance ON balance.account_id = account.id
    WHERE account.merchant_id IS NOT NULL AND kind = ANY(%(merchant_kinds)s) AND balance.day < %(end)s AND {filters}
    GROUP BY 1, 2, 3, 4, 5
), places AS (
    SELECT DISTINCT environment, merchant_id, channel, currency FROM moved
), running AS (
    SELECT days.day::date AS day, environment, merchant_id, channel, currency,
        sum(coalesce(posted, 0)) OVER balances AS posted, sum(coalesce(reserved, 0)) OVER balances AS reserved
    FROM places CROSS JOIN generate_series(%(start)s::date - 1, %(end)s::date - 1, interval '1 day') AS days(day)
    LEFT JOIN moved USING (environment, merchant_id, channel, currency, day)
    WINDOW balances AS (PARTITION BY environment, merchant_id, channel, currency ORDER BY days.day)
)
SELECT day, environment, merchant_id, channel, currency, posted::bigint, reserved::bigint
FROM running WHERE day >= %(start)s AND (posted <> 0 OR reserved <> 0)
ORDER BY day, environment, merchant_id, channel, currency
LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TotalsQuery:
    """The days from `start` up to `end`, exclusive. None: all."""

    start: dt.date
    end: dt.date
    environment: str | None = None
    merchant_id: uuid.UUID | None = None
    channel: str | None = None
    currency: str | None = None
    limit: int | None = None
    database: str = PRIMARY


@dataclass(frozen=True, slots=True)
class DailyTotals:
    """The totals of one day, in minor units. `merchant_id` is None for the platform's own accounts.

    `net_minor` is the change of the merchant's balance. It contains all kinds of accounts that a merchant has:
    `other_minor` is what no other amount shows. `captures` is how often money came in: `merchant_payable` has one entry
    for each captured, late and duplicate payment.
    """

    day: dt.date
    environment: str
    merchant_id: uuid.UUID | None
    channel: str
    currency: str
    payments_minor: int
    paid_out_minor: int
    refunds_minor: int
    disputes_minor: int
    fees_minor: int
    net_minor: int
    fee_income_minor: int
    channel_fees_minor: int
    captures: int

    @property
    def other_minor(self) -> int:
        taken = self.paid_out_minor + self.refunds_minor + self.disputes_minor + self.fees_minor
        return self.net_minor - self.payments_minor + taken


@dataclass(frozen=True, slots=True)
class DayEndBalance:
    """A merchant's balance at the end of a day, in minor units; `reserved_minor` is on its way to customers."""

    day: dt.date
    environment: str
    merchant_id: uuid.UUID
    channel: str
    currency: str
    posted_minor: int
    reserved_minor: int

    @property
    def available_minor(self) -> int:
        return self.posted_minor - self.reserved_minor


def read_daily_totals(query: TotalsQuery) -> Iterator[DailyTotals]:
    """Ordered by day. Reads the index of the days: the cost is that of the days, however long the history is."""
    return (DailyTotals(*row) for row in _stream(_TOTALS, query))


def read_day_end_balances(query: TotalsQuery) -> Iterator[DayEndBalance]:
    """Ordered by day. Reads all days of the accounts up to `end`, which are few for one merchant."""
    return (DayEndBalance(*row) for row in _stream(_BALANCES, query))


def _stream(statement: str, query: TotalsQuery) -> Iterator[tuple[Any, ...]]:
    """Reads through a server-side cursor in one transaction, so that memory does not grow with the rows."""
    chosen = {name: value for name in _FILTERS if (value := getattr(query, name)) is not None}
    filters = " AND ".join(_FILTERS[name] for name in chosen) or "true"
    parameters = {
        **chosen,
        "start": query.start,
        "end": query.end,
        "limit": query.limit,
        "merchant_kinds": [kind.value for kind in MERCHANT_KINDS],
        "fee_kinds": [kind.value for kind in FEE_KINDS],
    }
    connection = connections[query.database]
    with transaction.atomic(using=query.database, durable=True):
        if query.limit is None:  # not for a page
            with connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT_SECONDS}s'")
        with connection.chunked_cursor() as cursor:
            cursor.execute(statement.format(filters=filters), parameters)
            while rows := cursor.fetchmany(_CHUNK_ROWS):
                yield from rows
