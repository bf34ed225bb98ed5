"""Reports that are read at once: on a page, or as a CSV file that is downloaded."""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.action_types import ObjectType, StaffActionType
from audit.recording import recording
from backoffice.exports import csv_rows
from backoffice.reports.forms import ShownReportForm
from backoffice.reports.kinds import KINDS, ReportKind, ReportQuery
from backoffice.reports.periods import ONE_DAY, Period
from common.errors import OperationRefused

# The columns of a page. A file keeps the names, which programs read.
LABELS: Final = {
    "day": gettext_lazy("Day"),
    "environment": gettext_lazy("Environment"),
    "merchant": gettext_lazy("Merchant"),
    "channel": gettext_lazy("Channel"),
    "currency": gettext_lazy("Currency"),
    "captures": gettext_lazy("Captures"),
    "payments": gettext_lazy("Payments"),
    "refunds": gettext_lazy("Refunds"),
    "disputes": gettext_lazy("Disputes"),
    "fees": gettext_lazy("Fees"),
    "paid_out": gettext_lazy("Paid out"),
    "other": gettext_lazy("Other"),
    "net": gettext_lazy("Net"),
    "fee_income": gettext_lazy("Fee income"),
    "channel_fees": gettext_lazy("Channel fees"),
    "posted": gettext_lazy("Balance"),
    "reserved": gettext_lazy("Reserved"),
    "available": gettext_lazy("Available"),
}
MAX_SHOWN: Final = 500
MAX_DOWNLOADED: Final = 20_000


@dataclass(frozen=True, slots=True)
class ShownReport:
    columns: Sequence[str | Promise]
    rows: Sequence[Sequence[str]]
    is_cut: bool


def build_report(form: ShownReportForm) -> ShownReport:
    """The form is valid."""
    kind, query = _build_query(form, MAX_SHOWN + 1)
    rows = [
        [csv_rows.format_value(column.text(row), dt.UTC) for column in kind.columns]
        for row in kind.read_rows(query)
    ]
    return ShownReport(
        [LABELS[column.name] for column in kind.columns], rows[:MAX_SHOWN], len(rows) > MAX_SHOWN
    )


def download_report(form_data: dict[str, Any], *, actor: str) -> Iterator[bytes]:
    """The rows are read before the first byte is sent, so that no transaction waits for a slow reader. The audit log
    entry is committed by then. Raises `OperationRefused`."""
    reason = form_data.pop("reason")
    form = ShownReportForm(form_data)
    assert form.is_valid(), form.errors
    kind, query = _build_query(form, MAX_DOWNLOADED + 1)
    rows = list(kind.read_rows(query))
    if len(rows) > MAX_DOWNLOADED:
        raise OperationRefused(
            _("These are more than %(limit)d rows. Choose fewer days, or schedule the report.")
            % {"limit": MAX_DOWNLOADED}
        )
    with recording(
        StaffActionType.REPORT_DOWNLOADED, ObjectType.REPORT, kind.name, actor=actor, reason=reason
    ) as entry:
        days = {"first_day": str(query.period.start), "last_day": str(query.period.end - ONE_DAY)}
        entry.after = {"kind": kind.name, **days, "filters": query.filters, "rows": len(rows)}
    return _stream(kind, iter(rows))


def _stream(kind: ReportKind, rows: Iterator[Any]) -> Iterator[bytes]:
    yield csv_rows.header_line(kind.columns)
    while part := list(islice(rows, 1_000)):
        yield csv_rows.row_lines(kind.columns, part)


def _build_query(form: ShownReportForm, limit: int) -> tuple[ReportKind, ReportQuery]:
    data = form.cleaned_data
    period = Period(data["first_day"], data["last_day"] + ONE_DAY)
    return KINDS[data["kind"]], ReportQuery(period, dt.UTC, form.list_filters(), limit)
