"""The pages of reports: staff read and download them, schedule them, end a schedule and send a report again."""

import csv
import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from audit.models import StaffAction
from backoffice.reports import planning, shown, writing
from backoffice.reports.models import ReportRun, ReportSchedule
from ledger.chart import LedgerAccountKind as Kind
from merchants.services import NewMerchant
from tests.reports.conftest import DAY, at, book

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

LIST = "/admin/reports/reportschedule/"
DAYS = {"first_day": "2026-01-05", "last_day": "2026-01-06"}
NEW = {
    "name": "totals",
    "kind": "daily_totals",
    "frequency": "daily",
    "run_time": "06:30",
    "time_zone": "Asia/Shanghai",
    "file_format": "csv",
    "destination": "archive",
    "first_day": "2026-01-05",
    "reason": "month's end",
}


@pytest.fixture
def booked(acme: NewMerchant) -> NewMerchant:
    book(acme, DAY, Kind.MERCHANT_PAYABLE, credit=12_345)
    book(acme, DAY + dt.timedelta(days=1), Kind.REFUNDS, debit=20_000)
    return acme


def show(browser: Client, **data: str) -> str:
    answer = browser.get(f"{LIST}show/", {"kind": "daily_totals", **DAYS, **data})
    assert answer.status_code == 200
    return answer.content.decode()


def test_daily_totals_on_a_page(finance: Client, booked: NewMerchant) -> None:
    page = show(finance)
    assert booked.merchant.email in page
    assert "<td>123.45</td>" in page
    assert "<td>-200.00</td>" in page
    assert "Nothing was booked" in show(finance, currency="jpy")


def test_balances_on_a_page_need_a_merchant(finance: Client, booked: NewMerchant) -> None:
    assert "Give a merchant" in show(finance, kind="balances")
    assert "<td>123.45</td>" in show(finance, kind="balances", merchant=booked.merchant.email.upper())
    assert "There is no merchant" in show(finance, kind="balances", merchant="gone@example.com")


@pytest.mark.parametrize("last_day", ["2026-01-04", "2026-04-08", "9999-12-31", "x", ""])
def test_days_that_a_page_does_not_show(finance: Client, last_day: str) -> None:
    assert "<td>" not in show(finance, last_day=last_day)


@pytest.mark.parametrize(
    ("day", "text", "status"),
    [("9999-12-31", "up to tomorrow", 422), ("0001-01-01", "Nothing was booked", 200)],
)
def test_the_first_and_the_last_day_of_the_calendar(
    finance: Client, day: str, text: str, status: int
) -> None:
    assert text in show(finance, first_day=day, last_day=day)
    data = {"kind": "daily_totals", "first_day": day, "last_day": day, "reason": "an audit"}
    assert finance.post(f"{LIST}download/", data).status_code == status


def test_a_long_report_says_that_it_is_cut(
    finance: Client, booked: NewMerchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shown, "MAX_SHOWN", 1)
    page = show(finance)
    assert "The first 1 rows" in page
    assert "-200.00" not in page


def test_a_download_is_audited(finance: Client, booked: NewMerchant, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = finance.post(f"{LIST}download/", {"kind": "daily_totals", **DAYS, "reason": "an audit"})
    content = b"".join(answer.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]
    rows = list(csv.DictReader(content.splitlines()))
    assert [(row["day"], row["payments"], row["refunds"], row["net"]) for row in rows] == [
        ("2026-01-05", "123.45", "0.00", "123.45"),
        ("2026-01-06", "0.00", "200.00", "-200.00"),
    ]
    action = StaffAction.objects.get()
    assert (action.actor, action.action, action.reason) == ("fin", "report.downloaded", "an audit")
    assert action.after == {"kind": "daily_totals", **DAYS, "filters": {}, "rows": 2}
    monkeypatch.setattr(shown, "MAX_DOWNLOADED", 1)
    refused = finance.post(f"{LIST}download/", {"kind": "daily_totals", **DAYS, "reason": "an audit"})
    assert b"more than 1 rows" in refused.content


def test_a_schedule_from_its_form_to_its_file(finance: Client, folder: Path, booked: NewMerchant) -> None:
    assert finance.post(f"{LIST}new/", {**NEW, "currency": "usd"}).status_code == 302
    schedule = ReportSchedule.objects.get()
    assert (schedule.filters, schedule.created_by) == ({"currency": "USD"}, "fin")
    planning.plan_due_runs(now=at("2026-01-06T12:00"))
    assert writing.write_due_reports() == 1
    run = ReportRun.objects.get()
    page = finance.get(f"/admin/reports/reportrun/{run.pk}/change/").content.decode()
    assert run.sha256 in page
    address = f"/admin/reports/reportrun/{run.pk}/send_again/"
    assert finance.post(address, {"reason": "lost"}).status_code == 302
    assert b"on its way already" in finance.post(address, {"reason": "lost"}, follow=True).content
    assert finance.post(f"{LIST}{schedule.pk}/end/", {"reason": "unread"}).status_code == 302
    actions = list(StaffAction.objects.order_by("id").values_list("action", "actor"))
    assert actions == [
        ("report.scheduled", "fin"),
        ("report.sent", "schedule:totals"),
        ("report.resent", "fin"),
        ("report.ended", "fin"),
    ]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"name": "../x"}, "lower-case letters"),
        ({"time_zone": "Mars/Base"}, "no time zone"),
        ({"run_time": "25:00"}, "Enter a valid time"),
        ({"destination": "/etc"}, "Select a valid choice"),
        ({"merchant": "gone@example.com"}, "no merchant"),
        ({"kind": "payments", "channel": "stripe"}, "cannot be filtered by"),
        ({"first_day": "9999-12-31", "frequency": "monthly"}, "too far"),
        ({"first_day": "0001-01-01"}, "days ago"),
    ],
)
def test_a_wrong_form_is_answered_with_its_reason(
    finance: Client, folder: Path, changes: dict[str, Any], text: str
) -> None:
    answer = finance.post(f"{LIST}new/", {**NEW, **changes}, follow=True)
    assert text in answer.content.decode()
    assert not ReportSchedule.objects.exists()
