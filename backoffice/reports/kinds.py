"""The kinds of reports: columns, filters, and where the rows come from. One entry for each kind."""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from backoffice.exports import row_pages
from backoffice.exports.kinds import KINDS as EXPORT_KINDS
from backoffice.exports.kinds import Column, ColumnType, Row
from backoffice.reports.periods import Period, find_start
from common.money import to_major_text
from common.postgresql.replica import PRIMARY
from ledger import reporting
from ledger.reporting import TotalsQuery
from merchants.models import Merchant

FILTERS: Final = ("environment", "merchant", "channel", "currency")
PAGE_ROWS: Final = 1_000
_MANY: Final = 2**62  # rows


class ReportUnreadable(Exception):
    """The report cannot be made from its filters any more. The text says why."""


@dataclass(frozen=True, slots=True)
class ReportQuery:
    """`filters` has names of `FILTERS`; the merchant is its e-mail. `limit` is the most rows, None: all."""

    period: Period
    zone: dt.tzinfo
    filters: Mapping[str, str]
    limit: int | None = None
    database: str = PRIMARY


@dataclass(frozen=True, slots=True)
class ReportKind:
    """`has_days_in_utc`: its days are those of the ledger, whatever the zone of the schedule."""

    name: str
    label: Promise | str
    columns: Sequence[Column]
    read_rows: Callable[[ReportQuery], Iterator[Row]]
    filters: Sequence[str] = FILTERS
    has_days_in_utc: bool = True


def _read_daily_totals(query: ReportQuery) -> Iterator[Row]:
    return _name_merchants(reporting.read_daily_totals(_build_query(query)))


def _read_balances(query: ReportQuery) -> Iterator[Row]:
    return _name_merchants(reporting.read_day_end_balances(_build_query(query)))


def _build_query(query: ReportQuery) -> TotalsQuery:
    filters = dict(query.filters)
    email = filters.pop("merchant", None)
    merchant = Merchant.objects.filter(email=email).first() if email else None
    if email and merchant is None:  # its report is not that of all merchants
        raise ReportUnreadable(f"there is no merchant {email!r}")
    return TotalsQuery(
        start=query.period.start,
        end=query.period.end,
        merchant_id=merchant.pk if merchant else None,
        limit=query.limit,
        database=query.database,
        **filters,
    )


def _name_merchants(rows: Iterator[Any]) -> Iterator[Row]:
    emails: dict[Any, str] = {None: ""}
    for row in rows:
        if row.merchant_id not in emails:
            emails[row.merchant_id] = Merchant.objects.values_list("email", flat=True).get(pk=row.merchant_id)
        yield {"row": row, "merchant": emails[row.merchant_id]}


def _build_row_reader(name: str) -> Callable[[ReportQuery], Iterator[Row]]:
    """The rows of an export (`backoffice/exports`) that were created in the period."""
    kind = EXPORT_KINDS[name]

    def read_rows(query: ReportQuery) -> Iterator[Row]:
        filters = {
            **query.filters,
            "created_from": find_start(query.period.start, query.zone).isoformat(),
            "created_until": find_start(query.period.end, query.zone).isoformat(),
        }
        limit = query.limit or _MANY
        for page in row_pages.read_pages(kind, filters, size=PAGE_ROWS, limit=limit, database=query.database):
            yield from page

    return read_rows


def _money(name: str) -> Column:
    def read_amount(row: Row) -> str:
        return to_major_text(getattr(row["row"], f"{name}_minor"), row["row"].currency)

    return Column(name, [], read_amount, ColumnType.MONEY)


def _plain(name: str, type: ColumnType = ColumnType.TEXT) -> Column:
    return Column(name, [], lambda row: getattr(row["row"], name), type)


_PLACE: Final = (
    _plain("day", ColumnType.DAY),
    _plain("environment"),
    Column("merchant", [], lambda row: row["merchant"]),
    _plain("channel"),
    _plain("currency"),
)

KINDS: Mapping[str, ReportKind] = {
    kind.name: kind
    for kind in (
        ReportKind(
            "daily_totals",
            _("Daily totals"),
            [
                *_PLACE,
                _plain("captures", ColumnType.COUNT),
                _money("payments"),
                _money("refunds"),
                _money("disputes"),
                _money("fees"),
                _money("paid_out"),
                _money("other"),
                _money("net"),
                _money("fee_income"),
                _money("channel_fees"),
            ],
            _read_daily_totals,
        ),
        ReportKind(
            "balances",
            _("Balances at the end of each day"),
            [*_PLACE, _money("posted"), _money("reserved"), _money("available")],
            _read_balances,
        ),
        *(
            ReportKind(
                name,
                EXPORT_KINDS[name].label,
                EXPORT_KINDS[name].columns,
                _build_row_reader(name),
                filters=("environment", "merchant", "currency"),
                has_days_in_utc=False,
            )
            for name in ("payments", "refunds")
        ),
    )
}
