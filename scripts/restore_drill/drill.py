"""Backup, destruction, restore to an earlier moment, and reconciliation with the channel, on a loaded platform."""

import argparse
import datetime as dt
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from scripts.local.config import ROOT, Database
from scripts.local.errors import StackError, tail
from scripts.local.postgres import connect, ensure_database
from scripts.local.testing import free_port
from scripts.local.waiting import wait_until
from scripts.restore_drill import books
from scripts.restore_drill.backup import PostgresServer, SecondPlace
from scripts.restore_drill.load import DrillMerchant
from scripts.restore_drill.report import Report

SETTLE_SECONDS = 600.0
REPEATED_ORDERS = 25


def main() -> int:
    options = _parse_options()
    folder = Path(tempfile.mkdtemp(prefix="restore-drill-"))
    folder.chmod(0o755)
    report = Report()
    try:
        with ExitStack() as undo:
            Drill(folder, options.seconds, report, undo).run(reconciles=not options.without_reconciliation)
    finally:
        if options.keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"\n{report.to_text()}")
    if not options.without_reconciliation:
        report.save()
    return 1 if report.failures else 0


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="restore-drill.sh", description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=20.0, help="how long each of the three phases of load lasts"
    )
    parser.add_argument(
        "--without-reconciliation",
        action="store_true",
        help="leave the reconciliation out: the drill must fail",
    )
    parser.add_argument("--keep", action="store_true", help="keep logs and data")
    return parser.parse_args()


class Drill:
    def __init__(self, folder: Path, seconds: float, report: Report, undo: ExitStack) -> None:
        self._folder, self._seconds, self._report, self._undo = folder, seconds, report, undo
        self._database = Database("127.0.0.1", free_port(), embedded=True)
        self._web_port = free_port()
        self._environment = {
            **os.environ,
            "LOCAL_DIR": str(folder / "stack"),
            "LOG_DIR": str(folder / "logs"),
            "DB_HOST": self._database.host,
            "DB_PORT": str(self._database.port),
            "DB_USER": self._database.user,
            "DB_PASSWORD": self._database.password,
            "DB_NAME": self._database.name,
            "REDIS_PORT": str(free_port()),
            "PORT": str(self._web_port),
            "READY_SECONDS": os.environ.get("READY_SECONDS") or "900",
            "RATE_LIMIT_PER_SECOND": "0",
        }
        self._environment.pop("REDIS_HOST", None)
        self._merchant = DrillMerchant(self._web_port)

    def run(self, *, reconciles: bool) -> None:
        first = PostgresServer(self._database, self._folder / "first", self._folder / "first.log")
        account = first.start()
        self._undo.callback(first.stop)
        ensure_database(self._database)
        place = SecondPlace(self._folder / "second-place", first, account)
        with place.receiving(), self._platform():
            moment = self._work_and_back_up(place)
            bank = self._folder / "bank.sql"
            place.save_bank(bank)
            taken = self._count_taken_since(moment)
            self._report.add("WAL not yet in the second place", f"{place.read_lag_bytes()} bytes")
            first.destroy()
        self._report.add("PostgreSQL destroyed, at the restore point plus", f"{self._age(moment):.0f} s")
        second = PostgresServer(self._database, self._folder / "second", self._folder / "second.log")
        self._undo.callback(second.stop)
        self._restore(place, second, moment, bank)
        if reconciles:
            self._reconcile(moment, taken)
        with self._platform():
            self._judge(moment, reconciles=reconciles)

    # --- Before -----------------------------------------------------------------------------------------

    def _work_and_back_up(self, place: SecondPlace) -> dt.datetime:
        """The load never pauses. Returns the moment to restore, which has load before and after it."""
        self._merchant.start()
        try:
            time.sleep(self._seconds)
            began = time.monotonic()
            place.back_up()
            self._report.add("base backup and its verification", f"{time.monotonic() - began:.1f} s")
            time.sleep(self._seconds)
            moment = self._read_clock()
            time.sleep(self._seconds)
        finally:
            self._merchant.stop()
        self._report.add("payments and refunds answered", self._describe_load(self._merchant))
        return moment

    def _read_clock(self) -> dt.datetime:
        with connect(self._database) as connection:
            row = connection.execute("SELECT clock_timestamp()").fetchone()
        assert row is not None
        found: dt.datetime = row[0]
        return found

    def _describe_load(self, merchant: DrillMerchant) -> str:
        refunds = sum(len(order.refunded) for order in merchant.orders)
        return f"{len(merchant.orders)} and {refunds} in {3 * self._seconds:.0f} s"

    def _count_taken_since(self, moment: dt.datetime) -> dict[str, int]:
        """What the restored database will not know."""
        counts = {}
        with connect(self._database) as connection:
            for table in ("payments", "refunds"):
                query = f"SELECT count(*) FROM {table} WHERE created_at > %s"
                row = connection.execute(query, [moment]).fetchone()
                counts[table] = int(row[0]) if row else 0
        return counts

    # --- After ------------------------------------------------------------------------------------------

    def _restore(self, place: SecondPlace, target: PostgresServer, moment: dt.datetime, bank: Path) -> None:
        began = time.monotonic()
        target.home.mkdir(mode=0o700)
        place.restore(target, moment.isoformat())
        self._report.add("restored to the moment, ready for writes", f"{time.monotonic() - began:.1f} s")
        place.return_bank(bank, self._database)

    def _reconcile(self, moment: dt.datetime, taken: dict[str, int]) -> None:
        """Before the platform takes requests: a repeated one then finds its order."""
        began = time.monotonic()
        findings, _code = self._run_reconciliation(moment)
        seconds = time.monotonic() - began
        kinds = Counter(each["kind"] for each in findings)
        adopted = Counter(
            "refunds" if each["reference"].startswith("REF-") else "payments"
            for each in findings
            if each["kind"] == "adopted"
        )
        self._report.add("lost by the restore", f"{taken['payments']} payments, {taken['refunds']} refunds")
        self._report.require(
            holds=adopted["payments"] >= taken["payments"] > 0 and adopted["refunds"] >= taken["refunds"] > 0,
            name="found at the channel and adopted",
            value=f"{adopted['payments']} payments, {adopted['refunds']} refunds, in {seconds:.1f} s",
        )
        self._report.add("known in an older state, and updated", kinds["updated"])
        self._report.add("reviews opened by adoptions", books.count_reviews(self._database))
        unfinished = [each for each in findings if each["kind"] not in ("adopted", "updated")]
        self._report.add("left for the sagas and the second run", len(unfinished))

    def _judge(self, moment: dt.datetime, *, reconciles: bool) -> None:
        if not wait_until(lambda: books.is_settled(self._database), SETTLE_SECONDS, interval=0.5):
            self._report.failures.append("the platform did not come to rest")
        if reconciles:
            findings, code = self._run_reconciliation(moment)
            self._report.require(holds=code == 0, name="findings of a second run", value=len(findings))
        lost = books.find_lost(self._merchant)
        self._report.require(
            holds=not lost, name="answered and now unknown or different", value=_shorten(lost)
        )
        before = books.count_charges(self._database)
        newest = self._merchant.orders[-REPEATED_ORDERS:]
        doubled = books.find_doubled(self._merchant, newest)
        self._report.require(
            holds=not doubled,
            name=f"of {len(newest)} repeated lost requests, second payments",
            value=_shorten(doubled),
        )
        added = books.count_charges(self._database) - before
        self._report.require(
            holds=added == 0, name="entries added to the bank's ledger by repetitions", value=added
        )
        differing = books.find_differing(self._database)
        self._report.require(
            holds=not differing, name="payments that differ from the bank", value=_shorten(differing)
        )
        totals = books.read_totals(self._database)
        self._report.require(
            holds=totals.agree,
            name="taken and refunded, bank and platform",
            value=f"{totals.bank_taken} and {totals.bank_refunded}, {totals.taken} and {totals.refunded}",
        )
        checked = self._manage("check_consistency", "--json", "--grace", "0s")
        self._report.require(
            holds=checked.returncode == 0, name="check_consistency, exit code", value=checked.returncode
        )
        if checked.returncode:
            print(checked.stdout + checked.stderr)

    # --- The platform -----------------------------------------------------------------------------------

    @contextmanager
    def _platform(self) -> Iterator[None]:
        self._run_script("start-all-services.sh")
        try:
            yield
        finally:
            self._run_script("stop-all-services.sh")

    def _run_script(self, name: str) -> None:
        log = self._folder / f"{name}.log"
        with log.open("ab") as output:
            result = subprocess.run(
                [str(ROOT / "scripts" / name)],
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if result.returncode:
            raise StackError(f"{name} failed:\n{tail(log)}")

    def _run_reconciliation(self, moment: dt.datetime) -> tuple[list[dict[str, Any]], int]:
        result = self._manage("reconcile", f"--since-restore={moment.isoformat()}", "--json")
        if result.returncode not in (0, 1):
            raise StackError(f"reconcile failed: {result.stderr}")
        *findings, _counts = (json.loads(line) for line in result.stdout.splitlines() if line.startswith("{"))
        for each in findings:
            if each["kind"] not in ("adopted", "updated"):
                print(each)
        return findings, result.returncode

    def _manage(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = {**self._environment, **self._read_secrets()}
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def _read_secrets(self) -> dict[str, str]:
        lines = (self._folder / "stack" / "secrets.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))

    def _age(self, moment: dt.datetime) -> float:
        return (dt.datetime.now(dt.UTC) - moment).total_seconds()


def _shorten(found: list[str]) -> str:
    return f"{len(found)}" if not found else f"{len(found)}: {'; '.join(found[:3])}"
