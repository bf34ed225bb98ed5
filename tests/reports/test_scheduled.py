"""Scheduled reports: each period has one run and one file, despite crashes, repetitions and missed runs."""

import csv
import datetime as dt
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from botocore.exceptions import ClientError
from django.conf import settings as django_settings
from django.db import IntegrityError, connection
from django.db.models.functions import Now
from django.utils import translation

from audit.models import StaffAction
from backoffice.reports import destinations, files, planning, services, writing
from backoffice.reports.destination_settings import Bucket, Folder
from backoffice.reports.kinds import KINDS, ReportQuery
from backoffice.reports.models import ReportRun, ReportRunStatus, ReportSchedule
from backoffice.reports.periods import Period
from common.errors import OperationRefused
from common.postgresql.exclusive import try_exclusive
from ledger.chart import LedgerAccountKind as Kind
from merchants.services import NewMerchant
from tests.reports.conftest import DAY, at, book
from tests.support import shop
from tests.support.signing import SignedClient
from tests.support.threads import at_once, wait_until

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

Create = Callable[..., ReportSchedule]
IN_THE_MORNING = at("2026-01-06T06:30")
FILE = "totals/totals-2026-01-05.csv"


def list_files(folder: Path) -> list[str]:
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file())


def read_csv(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text("utf-8-sig").splitlines()))


def the_run() -> ReportRun:
    return ReportRun.objects.get()


class TestPlanning:
    def test_a_run_is_made_when_it_is_due(self, folder: Path, schedule: Create) -> None:
        schedule()
        assert planning.plan_due_runs(now=IN_THE_MORNING - dt.timedelta(seconds=1)) == 0
        assert planning.plan_due_runs(now=IN_THE_MORNING) == 1
        assert planning.plan_due_runs(now=IN_THE_MORNING) == 0
        run = the_run()
        assert (run.period_start, run.period_end, run.due_at) == (DAY, dt.date(2026, 1, 6), IN_THE_MORNING)
        assert (run.status, run.file_key) == (ReportRunStatus.QUEUED, FILE)

    @pytest.mark.parametrize(
        ("frequency", "names"),
        [
            ("daily", ["totals-2026-01-05", "totals-2026-01-06", "totals-2026-01-07"]),
            ("weekly", ["totals-2026-01-05-to-2026-01-11", "totals-2026-01-12-to-2026-01-18"]),
            ("monthly", ["totals-2026-01", "totals-2026-02"]),
        ],
    )
    def test_missed_runs_are_caught_up(
        self, folder: Path, schedule: Create, frequency: str, names: list[str]
    ) -> None:
        schedule(frequency=frequency, file_format="parquet")
        now = {"daily": "2026-01-09T00:00", "weekly": "2026-01-20T00:00", "monthly": "2026-03-02T00:00"}
        assert planning.plan_due_runs(now=at(now[frequency])) == len(names)
        keys = ReportRun.objects.order_by("period_start").values_list("file_key", flat=True)
        assert list(keys) == [f"totals/{name}.parquet" for name in names]

    def test_a_long_absence_is_caught_up_in_parts(
        self, folder: Path, schedule: Create, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(planning, "MAX_PERIODS", 2)
        schedule()
        assert [planning.plan_due_runs(now=at("2026-01-10T00:00")) for _turn in range(3)] == [2, 2, 0]

    def test_two_beats_at_once_make_one_run(self, folder: Path, schedule: Create) -> None:
        schedule()
        plan = [lambda: planning.plan_due_runs(now=IN_THE_MORNING)] * 4
        assert sum(at_once(*plan)) == 1
        run = the_run()
        with pytest.raises(IntegrityError, match="report_run_once"):
            ReportRun.objects.create(
                schedule=run.schedule,
                period_start=run.period_start,
                period_end=run.period_end,
                due_at=run.due_at,
                retry_at=Now(),
            )

    def test_an_ended_schedule_makes_no_runs(self, folder: Path, schedule: Create) -> None:
        services.end_schedule(schedule_id=schedule().pk, actor="ben", reason="no longer read")
        assert planning.plan_due_runs(now=IN_THE_MORNING) == 0
        with translation.override("en"), pytest.raises(OperationRefused, match="ended already"):
            services.end_schedule(schedule_id=ReportSchedule.objects.get().pk, actor="ben", reason="again")


class TestFolder:
    @pytest.fixture(autouse=True)
    def _due(self, folder: Path, schedule: Create, acme: NewMerchant) -> None:
        book(acme, DAY, Kind.MERCHANT_PAYABLE, credit=12_345)
        book(acme, DAY, Kind.REFUNDS, debit=20_000)
        book(acme, dt.date(2026, 1, 6), Kind.MERCHANT_PAYABLE, credit=1)
        schedule()
        planning.plan_due_runs(now=IN_THE_MORNING)

    def test_the_file_and_its_record(self, folder: Path, acme: NewMerchant) -> None:
        assert writing.write_due_reports() == 1
        assert writing.write_due_reports() == 0
        (row,) = read_csv(folder / FILE)
        assert row["day"] == "2026-01-05"
        assert row["merchant"] == acme.merchant.email
        assert (row["payments"], row["refunds"], row["net"]) == ("123.45", "200.00", "-76.55")
        run, content = the_run(), (folder / FILE).read_bytes()
        assert (run.status, run.row_count, run.byte_count, run.attempts) == (
            ReportRunStatus.DONE,
            1,
            len(content),
            1,
        )
        assert run.sha256 == hashlib.sha256(content).hexdigest()
        sent = StaffAction.objects.get(action="report.sent")
        assert (sent.actor, sent.reason, sent.object_id) == ("schedule:totals", "month's end", str(run.pk))
        assert sent.after["sha256"] == run.sha256
        assert list_files(folder) == [FILE]

    def test_a_process_that_dies_before_its_commit_leaves_one_file(self, folder: Path) -> None:
        program = "from backoffice.reports import writing; writing.write_due_reports()"
        place = f"archive={folder}"
        death = subprocess.run(
            [sys.executable, "manage.py", "shell", "--no-imports", "-c", program],
            cwd=django_settings.BASE_DIR,
            env={
                **os.environ,
                "DB_NAME": connection.settings_dict["NAME"],
                "REPORT_DESTINATIONS": place,
                "CRASH_POINTS": "1",
                "PAYMENT_CRASH_AT": "report.delivered",
            },
            capture_output=True,
            check=False,
        )
        assert death.returncode == -signal.SIGKILL, death.stderr.decode()
        assert (the_run().status, list_files(folder)) == (ReportRunStatus.RUNNING, [FILE])
        # The session of the dead process holds the lock for a moment.
        wait_until(lambda: writing.write_due_reports() == 1)
        assert (the_run().attempts, list_files(folder)) == (2, [FILE])
        assert the_run().sha256 == files.hash_file(folder / FILE)

    def test_an_incomplete_file_of_a_crash_is_replaced(self, folder: Path) -> None:
        (folder / "totals").mkdir(parents=True)
        (folder / "totals" / ".totals-2026-01-05.csv.partial").write_text("half a li")
        assert writing.write_due_reports() == 1
        assert list_files(folder) == [FILE]

    def test_workers_at_once_deliver_one_file(self, folder: Path) -> None:
        assert sum(at_once(*[writing.write_due_reports] * 4)) == 1
        assert (the_run().attempts, StaffAction.objects.filter(action="report.sent").count()) == (1, 1)

    def test_a_destination_that_another_worker_serves_is_skipped(self, folder: Path) -> None:
        with try_exclusive("reports:archive") as is_ours:
            assert is_ours
            assert writing.write_due_reports() == 0
        assert writing.write_due_reports() == 1

    def test_a_stale_worker_records_nothing(self, folder: Path) -> None:
        stale = writing._claim_run("archive")
        assert stale is not None
        assert writing.write_due_reports() == 1
        before = the_run()
        assert not writing._store_delivery(stale, files.WrittenFile(9, 9, "0" * 64))
        writing._store_failure(stale, "too late")
        assert (the_run().sha256, the_run().error) == (before.sha256, "")

    def test_a_failure_is_retried_and_then_needs_staff(
        self, folder: Path, settings: Any, tmp_path: Path
    ) -> None:
        (tmp_path / "a-file").write_text("")
        settings.REPORT_DESTINATIONS = {"archive": Folder(tmp_path / "a-file")}
        waits = []
        for _attempt in range(writing.MAX_ATTEMPTS):
            assert writing.write_due_reports() == 0
            run = the_run()
            if run.retry_at is not None:
                waits.append(run.retry_at)
                assert (run.status, "Not a directory" in run.error) == (ReportRunStatus.QUEUED, True)
                assert writing.write_due_reports() == 0, "the retry is not due yet"
                ReportRun.objects.update(retry_at=Now())
        assert (the_run().status, the_run().retry_at, len(waits)) == (ReportRunStatus.FAILED, None, 5)
        settings.REPORT_DESTINATIONS = {"archive": Folder(folder)}
        assert writing.write_due_reports() == 0
        services.send_again(run_id=the_run().pk, actor="ben", reason="the disk was full")
        assert writing.write_due_reports() == 1
        assert (the_run().status, the_run().error, list_files(folder)) == (ReportRunStatus.DONE, "", [FILE])

    def test_a_run_that_ends_each_of_its_processes_fails(self, folder: Path) -> None:
        for _death in range(writing.MAX_ATTEMPTS):
            run = writing._claim_run("archive")
            assert run is not None
            assert run.status == ReportRunStatus.RUNNING
        assert writing.write_due_reports() == 0
        assert (the_run().status, "each attempt" in the_run().error) == (ReportRunStatus.FAILED, True)

    def test_a_missing_destination_is_an_error(self, folder: Path, settings: Any) -> None:
        settings.REPORT_DESTINATIONS = {}
        assert writing.write_due_reports() == 0
        assert the_run().error == "REPORT_DESTINATIONS has no 'archive'"

    def test_a_run_is_sent_again_by_hand(self, folder: Path, acme: NewMerchant) -> None:
        writing.write_due_reports()
        with pytest.raises(OperationRefused):
            services.send_again(run_id=_queued_again(), actor="ben", reason="twice")
        book(acme, DAY, Kind.DISPUTES, debit=100)
        assert writing.write_due_reports() == 1
        (row,) = read_csv(folder / FILE)
        assert (row["disputes"], list_files(folder)) == ("1.00", [FILE])
        assert the_run().sha256 == files.hash_file(folder / FILE)
        actions = list(StaffAction.objects.order_by("id").values_list("action", flat=True))
        assert actions == ["report.scheduled", "report.sent", "report.resent", "report.sent"]


def _queued_again() -> Any:
    services.send_again(run_id=the_run().pk, actor="ben", reason="a dispute was missing")
    return the_run().pk


class TestFiles:
    def test_parquet_has_types_and_row_groups(
        self, folder: Path, schedule: Create, acme: NewMerchant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(files, "GROUP_ROWS", 2)
        for currency in ("USD", "JPY", "KWD"):
            book(acme, DAY, Kind.MERCHANT_PAYABLE, credit=1_234, currency=currency)
        schedule(file_format="parquet")
        planning.plan_due_runs(now=IN_THE_MORNING)
        assert writing.write_due_reports() == 1
        path = folder / "totals/totals-2026-01-05.parquet"
        file = pyarrow.parquet.ParquetFile(path)
        assert (file.num_row_groups, the_run().row_count) == (2, 3)
        rows = file.read().to_pylist()
        assert {row["currency"]: str(row["payments"]) for row in rows} == {
            "JPY": "1234.000",
            "KWD": "1.234",
            "USD": "12.340",
        }
        assert {row["day"] for row in rows} == {DAY}
        again = folder / "again"
        kind = KINDS["daily_totals"]
        written = files.write_file(
            again,
            file_format="parquet",
            columns=kind.columns,
            rows=kind.read_rows(ReportQuery(Period(DAY, dt.date(2026, 1, 6)), dt.UTC, {})),
            zone=dt.UTC,
        )
        assert written.sha256 == the_run().sha256, "the same rows make the same bytes"

    @pytest.mark.parametrize("file_format", ["csv", "parquet"])
    def test_rows_of_payments_are_those_of_the_local_day(
        self, folder: Path, schedule: Create, client: SignedClient, file_format: str
    ) -> None:
        payment = shop.opened(client, subject="=1+1")
        _move_payment("2026-01-04T16:30Z")  # the 5th in Shanghai
        schedule(kind="payments", time_zone="Asia/Shanghai", file_format=file_format)
        planning.plan_due_runs(now=at("2026-01-08T00:00"))
        assert writing.write_due_reports() == 2
        counts = list(ReportRun.objects.order_by("period_start").values_list("row_count", flat=True))
        assert counts == [1, 0]
        path = folder / f"totals/totals-2026-01-05.{file_format}"
        if file_format == "csv":
            (row,) = read_csv(path)
            assert row["subject"] == "'=1+1", "a spreadsheet runs no formula"
            assert row["created_at"] == "2026-01-05T00:30:00+08:00"
        else:
            (row,) = pyarrow.parquet.read_table(path).to_pylist()
            assert row["subject"] == "=1+1"
            assert row["created_at"] == at("2026-01-04T16:30")
        assert row["payment_no"] == payment["payment_no"]

    def test_a_period_that_no_file_can_hold(self, folder: Path, schedule: Create) -> None:
        """The failure is stored with its reason, and other destinations are served."""
        schedule(kind="payments", time_zone="Asia/Shanghai")
        planning.plan_due_runs(now=IN_THE_MORNING)
        ReportRun.objects.update(period_start=dt.date.min)
        assert writing.write_due_reports() == 0
        run = the_run()
        assert (run.status, run.attempts) == (ReportRunStatus.QUEUED, 1)
        assert run.error.startswith("OverflowError: ")

    def test_a_merchant_that_is_gone_is_not_all_merchants(self, folder: Path, schedule: Create) -> None:
        schedule(filters={"merchant": "gone@example.com"})
        planning.plan_due_runs(now=IN_THE_MORNING)
        assert writing.write_due_reports() == 0
        assert the_run().error == "there is no merchant 'gone@example.com'"


def _move_payment(created_at: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE payments SET created_at = %s", [created_at])


class TestBucket:
    @pytest.fixture
    def bucket(self, settings: Any, s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
        """Credentials come from a file that a profile names."""
        credentials = tmp_path / "credentials"
        credentials.write_text("[finance]\naws_access_key_id = key\naws_secret_access_key = secret\n")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        place = Bucket("acme-reports", "daily/", s3_server, "us-east-1", "finance")
        settings.REPORT_DESTINATIONS = {"archive": place}
        return destinations._make_client(place)

    def test_a_file_in_a_bucket(self, bucket: Any, schedule: Create, acme: NewMerchant) -> None:
        book(acme, DAY, Kind.MERCHANT_PAYABLE, credit=12_345)
        schedule()
        planning.plan_due_runs(now=IN_THE_MORNING)
        assert writing.write_due_reports() == 0
        assert "NoSuchBucket" in the_run().error
        bucket.create_bucket(Bucket="acme-reports")
        for _answer_was_lost in range(2):
            ReportRun.objects.update(status=ReportRunStatus.QUEUED, retry_at=Now(), finished_at=None)
            assert writing.write_due_reports() == 1
        (found,) = bucket.list_objects_v2(Bucket="acme-reports")["Contents"]
        assert found["Key"] == f"daily/{FILE}"
        content = bucket.get_object(Bucket="acme-reports", Key=found["Key"])
        assert hashlib.sha256(content["Body"].read()).hexdigest() == the_run().sha256
        assert content["Metadata"] == {"sha256": the_run().sha256, "rows": "1"}

    def test_credentials_that_are_missing(self, bucket: Any, schedule: Create, settings: Any) -> None:
        settings.REPORT_DESTINATIONS = {"archive": Bucket("acme-reports", "", None, "us-east-1", "nobody")}
        schedule()
        planning.plan_due_runs(now=IN_THE_MORNING)
        assert writing.write_due_reports() == 0
        assert "The config profile (nobody) could not be found" in the_run().error
        with pytest.raises(ClientError):
            bucket.head_object(Bucket="acme-reports", Key="missing")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"name": "../totals"}, "lower-case letters"),
        ({"time_zone": "Mars/Base"}, "no time zone"),
        ({"destination": "elsewhere"}, "no such destination"),
        ({"kind": "payments", "filters": {"channel": "stripe"}}, "cannot be filtered by: channel"),
    ],
)
def test_a_wrong_schedule_is_refused(
    folder: Path, schedule: Create, changes: dict[str, Any], text: str
) -> None:
    with translation.override("en"), pytest.raises(OperationRefused, match=text):
        schedule(**changes)
    assert not StaffAction.objects.exists()


def test_a_name_is_used_once(folder: Path, schedule: Create) -> None:
    schedule()
    with translation.override("en"), pytest.raises(OperationRefused, match="this name already"):
        schedule()
    assert StaffAction.objects.get().after["first_day"] == "2026-01-05"
