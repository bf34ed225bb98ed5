"""CSV exports: no formulas, an audit entry before the first byte, and recovery after a worker's crash."""

import csv
import gzip
import io
import os
import re
import signal
import subprocess
import sys
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest
from django.conf import settings
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from audit.models import StaffAction
from backoffice.exports import row_pages, services
from backoffice.exports.kinds import KINDS
from backoffice.exports.models import Export, ExportChunk, ExportStatus
from common.spreadsheets import escape_formula
from gateway.models import Payment
from merchants.services import NewMerchant
from tests.office_access.conftest import member, signed_in
from tests.support import shop
from tests.support.rows import leave_one_of_each
from tests.support.signing import SignedClient
from tests.support.triggers import without_triggers
from webhooks.models import WebhookDelivery

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

NEW = "/admin/exports/export/new/"


@pytest.fixture
def finance(transactional_db: None) -> Client:
    return signed_in(member("fin", "Finance"))


@pytest.fixture
def payments(client: SignedClient) -> list[str]:
    """The numbers of payments, newest first."""
    return [shop.opened(client, subject=f"Coffee {number}")["payment_no"] for number in range(7)][::-1]


@pytest.fixture
def long(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.EXPORT_STREAMED_ROWS = 3
    monkeypatch.setattr(services, "CHUNK_ROWS", 2)


def request_export(browser: Client, **changes: str) -> Any:
    return browser.post(NEW, {"kind": "payments", "reason": "month's end", **changes})


def rows(answer: Any) -> list[dict[str, str]]:
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    content = b"".join(answer.streaming_content)
    assert content.startswith(b"\xef\xbb\xbf"), "Excel needs the byte order mark"
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))


def the_export() -> Export:
    return Export.objects.get()


def download(browser: Client, export: Export) -> Any:
    return browser.post(f"/admin/exports/export/{export.pk}/download/", {})


def test_a_short_export_is_downloaded_at_once(
    finance: Client, payments: list[str], acme: NewMerchant
) -> None:
    found = rows(request_export(finance))
    assert [row["payment_no"] for row in found] == payments
    assert (found[0]["amount"], found[0]["currency"], found[0]["merchant"]) == (
        "100.00",
        "USD",
        acme.merchant.email,
    )
    done = StaffAction.objects.get()
    assert (done.actor, done.action, done.reason) == ("fin", "export.requested", "month's end")
    assert done.after["kind"] == "payments"
    assert not Export.objects.exists()


def test_an_export_is_in_the_audit_log_before_the_first_byte(finance: Client, payments: list[str]) -> None:
    answer = request_export(finance)
    assert StaffAction.objects.count() == 1, "no byte of the answer was read yet"
    rows(answer)


def _first_and_last_payment() -> tuple[Payment, Payment]:
    """The first and the last payment, which are of different days if the test runs at midnight."""
    return Payment.objects.earliest("created_at"), Payment.objects.latest("created_at")


def test_an_export_can_be_filtered(finance: Client, payments: list[str], client: SignedClient) -> None:
    paid = shop.paid(client, currency="JPY")["payment_no"]
    assert [row["payment_no"] for row in rows(request_export(finance, status="succeeded"))] == [paid]
    assert [row["payment_no"] for row in rows(request_export(finance, currency="JPY"))] == [paid]
    assert rows(request_export(finance, merchant="nobody@example.com")) == []
    first, last = (found.created_at.date().isoformat() for found in _first_and_last_payment())
    assert len(rows(request_export(finance, created_from=first, created_until=last))) == 8
    assert rows(request_export(finance, created_until="2020-01-01")) == []
    refused = request_export(finance, status="compensated")
    assert "Payments have no such status." in refused.content.decode()
    assert [row["payment_no"] for row in rows(request_export(finance, currency="jpy"))] == [paid]
    refused = request_export(finance, actor="ana")
    assert refused.status_code == 409
    assert "cannot be filtered by: actor" in refused.content.decode()


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝"])
def test_an_export_holds_no_formula(start: str, finance: Client, client: SignedClient) -> None:
    text = f"{start}cmd|' /C calc'!A0"
    assert escape_formula(text) == f"'{text}"
    if start.isprintable():
        shop.opened(client, subject=text)
        assert rows(request_export(finance))[0]["subject"] == f"'{text}"


def test_commas_quotes_and_chinese_are_preserved(finance: Client, client: SignedClient) -> None:
    text = '咖啡, "zwei" Beutel; 100%'
    shop.opened(client, subject=text)
    assert rows(request_export(finance))[0]["subject"] == text


def test_every_kind_of_export_has_rows(
    finance: Client, client: SignedClient, payments: list[str], acme: NewMerchant
) -> None:
    refund = shop.data(shop.refund(client, shop.paid(client), 100))["refund_no"]
    assert [row["refund_no"] for row in rows(request_export(finance, kind="refunds"))] == [refund]
    assert len(rows(request_export(finance, kind="orders"))) == 8
    assert len(rows(request_export(finance, kind="sagas"))) == 9
    leave_one_of_each()
    (delivery,) = rows(
        request_export(finance, kind="deliveries", status="failed", merchant=acme.merchant.email)
    )
    result = WebhookDelivery.objects.select_related("event").get()
    assert (
        delivery["id"],
        delivery["event"],
        delivery["about"],
        delivery["address"],
        delivery["status"],
    ) == (
        str(result.pk),
        result.event.type,
        result.event.ordering_key,
        "https://shop.example/hook",
        "failed",
    )
    assert rows(request_export(finance, kind="deliveries", merchant="nobody@example.com")) == []
    admin = signed_in(member("admin", "Admin"))
    actions = rows(request_export(admin, kind="staff_actions"))
    assert [row["actor"] for row in actions] == ["admin", "fin", "fin", "ana", "fin", "fin", "fin"]
    assert rows(request_export(admin, kind="staff_actions", actor="nobody")) == []


def test_a_role_exports_only_what_it_can_view(finance: Client) -> None:
    refused = request_export(finance, kind="staff_actions")
    assert refused.status_code == 409
    assert "Your role does not permit viewing these rows." in refused.content.decode()
    assert not StaffAction.objects.exists()


def test_a_short_export_is_stored_on_request(finance: Client, payments: list[str]) -> None:
    answer = request_export(finance, in_background="on")
    assert answer["Location"] == f"/admin/exports/export/{the_export().pk}/change/"
    services.write_unfinished()
    assert [row["payment_no"] for row in rows(download(finance, the_export()))] == payments


def killed_at(point: str) -> int:
    """Runs a worker process that kills itself at this crash point. Returns its exit code."""
    program = "from backoffice.exports import services; services.CHUNK_ROWS = 2; services.write_unfinished()"
    return subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", program],
        cwd=settings.BASE_DIR,
        env={
            **os.environ,
            "DB_NAME": connection.settings_dict["NAME"],
            "CRASH_POINTS": "1",
            "PAYMENT_CRASH_AT": point,
        },
        capture_output=True,
        check=False,
    ).returncode


class TestLong:
    pytestmark = pytest.mark.usefixtures("long")

    def test_a_long_export_is_written_in_the_background_and_downloaded(
        self, finance: Client, payments: list[str]
    ) -> None:
        answer = request_export(finance)
        export = the_export()
        page = finance.get(answer["Location"])
        assert (export.status, page["Refresh"]) == (ExportStatus.QUEUED, "3")
        assert download(finance, export).status_code == 409
        assert services.write_unfinished() == 3
        export.refresh_from_db()
        assert (export.status, export.rows_written, export.is_cut) == (ExportStatus.DONE, 7, False)
        assert "Refresh" not in finance.get(answer["Location"])
        assert [row["payment_no"] for row in rows(download(finance, export))] == payments
        assert list(StaffAction.objects.order_by("id").values_list("action", flat=True)) == [
            "export.requested",
            "export.downloaded",
        ]

    def test_an_export_stops_at_its_limit_and_shows_it(
        self, finance: Client, payments: list[str], settings: Any
    ) -> None:
        settings.EXPORT_MAX_ROWS = 5
        request_export(finance)
        services.write_unfinished()
        assert (the_export().rows_written, the_export().is_cut) == (5, True)
        page = reverse("admin:exports_export_change", args=[the_export().pk])
        assert "Incomplete: more than 5 rows match" in finance.get(page).content.decode()
        assert len(rows(download(finance, the_export()))) == 5

    def test_a_limit_that_fits_exactly_truncates_nothing(
        self, finance: Client, payments: list[str], settings: Any
    ) -> None:
        settings.EXPORT_MAX_ROWS = 7
        request_export(finance)
        services.write_unfinished()
        assert (the_export().rows_written, the_export().is_cut) == (7, False)
        page = reverse("admin:exports_export_change", args=[the_export().pk])
        assert "All rows" in finance.get(page).content.decode()

    def test_the_next_worker_resumes_after_a_crash(self, finance: Client, payments: list[str]) -> None:
        request_export(finance)
        dead = services._claim_export()
        assert dead is not None
        assert services._write_chunk(dead)
        assert services.write_unfinished() == 0, "the lease of the dead worker has not expired"
        Export.objects.update(lease_expires_at=Now())
        assert services.write_unfinished() == 2
        assert [row["payment_no"] for row in rows(download(finance, the_export()))] == payments

    @pytest.mark.parametrize(("point", "written"), [("before_commit", 0), ("after_commit", 2)])
    def test_a_worker_that_is_killed_leaves_whole_chunks(
        self, finance: Client, payments: list[str], point: str, written: int
    ) -> None:
        request_export(finance)
        assert killed_at(f"export.chunk.{point}") == -signal.SIGKILL
        assert the_export().rows_written == written
        Export.objects.update(lease_expires_at=Now())
        services.write_unfinished()
        assert [row["payment_no"] for row in rows(download(finance, the_export()))] == payments

    def test_a_stale_worker_writes_nothing(self, finance: Client, payments: list[str]) -> None:
        request_export(finance)
        slow = services._claim_export()
        assert slow is not None
        Export.objects.update(lease_expires_at=Now())
        other = services._claim_export()
        assert other is not None
        assert not services._write_chunk(slow)
        assert not ExportChunk.objects.exists()
        while services._write_chunk(other):
            pass
        assert not services._write_chunk(slow)
        assert [row["payment_no"] for row in rows(download(finance, the_export()))] == payments

    def test_an_export_that_kills_its_workers_fails(self, finance: Client, payments: list[str]) -> None:
        request_export(finance)
        for _death in range(services.MAX_CLAIMS_WITHOUT_PROGRESS):
            assert services._claim_export() is not None
            Export.objects.update(lease_expires_at=Now())
        assert services.write_unfinished() == 0
        assert the_export().status == ExportStatus.FAILED

    def test_a_long_export_lets_other_tasks_run(
        self, finance: Client, payments: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(services, "CHUNKS_PER_TURN", 1)
        request_export(finance)
        assert [services.write_unfinished() for _round in range(4)] == [1, 1, 1, 0]
        assert the_export().status == ExportStatus.DONE

    def test_rows_added_later_are_not_in_the_export(
        self, finance: Client, payments: list[str], client: SignedClient
    ) -> None:
        request_export(finance)
        export = services._claim_export()
        assert export is not None
        services._write_chunk(export)
        shop.opened(client)
        while services._write_chunk(export):
            pass
        assert [row["payment_no"] for row in rows(download(finance, the_export()))] == payments

    def test_after_a_week_the_export_is_deleted_and_the_audit_log_kept(
        self, finance: Client, payments: list[str]
    ) -> None:
        request_export(finance)
        services.write_unfinished()
        assert services.prune_exports() == 0
        Export.objects.update(created_at=Now() - services.RETENTION)
        assert services.prune_exports() > 0
        assert not ExportChunk.objects.exists()
        assert StaffAction.objects.filter(action="export.requested").exists()

    def test_stored_exports_are_compressed(self, finance: Client, payments: list[str]) -> None:
        request_export(finance)
        services.write_unfinished()
        chunk = ExportChunk.objects.order_by("number").first()
        assert chunk is not None
        assert payments[0].encode() in gzip.decompress(bytes(chunk.content))


def test_every_page_is_read_from_an_index(payments: list[str]) -> None:
    kind = KINDS["payments"]
    position = row_pages.read_page(kind, {}, after=None, size=2).position
    with connection.cursor() as cursor:
        # Seven rows are too few for an index scan, so sequential scans are switched off.
        cursor.execute("SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off")
    with CaptureQueriesContext(connection) as captured:
        assert len(row_pages.read_page(kind, {}, after=position, size=3).rows) == 3
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {captured.captured_queries[0]['sql']}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
        cursor.execute("RESET enable_seqscan; RESET enable_bitmapscan; RESET enable_sort")
    assert "Index Scan using payment_newest" in plan, plan
    assert "Presorted Key: payments.created_at" in plan, plan


@pytest.mark.parametrize(
    ("of", "kind"),
    [
        ("gateway_payment", "payments"),
        ("gateway_refund", "refunds"),
        ("orders_order", "orders"),
        ("sagas_sagainstance", "sagas"),
        ("webhooks_webhookdelivery", "deliveries"),
        ("audit_staffaction", "staff_actions"),
    ],
)
def test_each_list_leads_to_its_export_with_what_it_is_filtered_by(of: str, kind: str) -> None:
    admin = signed_in(member("ada", "Admin"))
    shown = {} if kind == "staff_actions" else {"created_from": "2026-11-01T10:00", "status__exact": "failed"}
    html = admin.get(reverse(f"admin:{of}_changelist"), shown).content.decode()
    assert re.findall(r'name="kind" value="(\w+)"', html) == [kind]
    (filters,) = re.findall(
        rf'name="kind" value="{kind}"><input type="hidden" name="list" value="([^"]*)"', html
    )
    # The time has an offset: the rows do not depend on the zone of the file. The environment is that of the switch.
    as_shown = shown and {**shown, "created_from": "2026-11-01T10:00:00+00:00", "environment": "test"}
    assert unescape(filters) == (f"{kind}?{urlencode(as_shown)}" if shown else "")
    viewer = signed_in(member("vera", "Viewer"))
    if kind != "staff_actions":
        assert 'name="kind"' not in viewer.get(reverse(f"admin:{of}_changelist")).content.decode()


def test_days_and_times_are_in_the_chosen_zone(client: SignedClient) -> None:
    admin = signed_in(member("ada", "Admin"))
    shop.opened(client, order_no="A")
    with without_triggers() as cursor:
        cursor.execute("UPDATE payments SET created_at = '2026-03-01 20:30:05+00'")
    form = {
        "kind": "payments",
        "reason": "month's end",
        "created_from": "2026-03-02",
        "created_until": "2026-03-02",
    }

    def times(zone: str) -> list[str]:
        answer = admin.post("/admin/exports/export/new/", {**form, "time_zone": zone})
        lines = b"".join(answer.streaming_content).decode("utf-8-sig").splitlines()  # type: ignore[attr-defined]
        return [row["created_at"] for row in csv.DictReader(lines)]

    assert times("") == []
    assert times("Asia/Shanghai") == ["2026-03-02T04:30:05+08:00"]
    refused = admin.post("/admin/exports/export/new/", {**form, "time_zone": "Mars"})
    assert refused.status_code == 422
    assert "There is no time zone" in refused.content.decode()
