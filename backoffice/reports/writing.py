"""Writes the files of due runs and puts them at their destinations.

A run is written to a local file, put at its destination, and then marked as done. A process may die between any two of
these: the next one repeats all of them under the same key, which replaces the file. One process at a time works for a
destination, so a slow one delays no other, and a file is never written twice at once.
"""

import datetime as dt
import tempfile
from pathlib import Path
from typing import Final

import structlog
from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models.functions import Now

from audit.action_types import ObjectType, StaffActionType
from audit.services import record
from backoffice.reports import files
from backoffice.reports.destinations import DestinationFailed, deliver
from backoffice.reports.files import WrittenFile
from backoffice.reports.kinds import KINDS, ReportQuery, ReportUnreadable
from backoffice.reports.models import ReportRun, ReportRunStatus
from backoffice.reports.periods import Period
from common import crash
from common.clock import database_now
from common.postgresql.exclusive import try_exclusive
from common.postgresql.replica import PRIMARY, choose_database
from common.time_zones import find_zone
from ledger import balances

log = structlog.get_logger(__name__)

# Waits after each failure. After the last one the run has failed, and an alert calls a person.
RETRY_AFTER: Final = tuple(dt.timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 360))
MAX_ATTEMPTS: Final = len(RETRY_AFTER) + 1
MAX_RUNS: Final = 50  # of one destination in one run of the task


def write_due_reports() -> int:
    """Returns how many files it delivered."""
    due = ReportRun.objects.filter(retry_at__lte=Now())
    destinations = due.order_by().values_list("schedule__destination", flat=True).distinct()
    return sum(_serve_destination(name) for name in sorted(destinations))


def _serve_destination(destination: str) -> int:
    delivered = 0
    with try_exclusive(f"reports:{destination}") as is_ours:
        for _number in range(MAX_RUNS if is_ours else 0):
            run = _claim_run(destination)
            if run is None:
                break
            if run.status == ReportRunStatus.RUNNING:
                delivered += _write_run(run)
    return delivered


@transaction.atomic(durable=True)
def _claim_run(destination: str) -> ReportRun | None:
    """Claims the run that is due for longest. A run that another process left behind is one of them.

    One that has used up its attempts, because each of them ended its process, fails.
    """
    run = (
        ReportRun.objects.select_for_update(of=("self",), skip_locked=True)
        .select_related("schedule")
        .filter(retry_at__lte=Now(), schedule__destination=destination)
        .order_by("retry_at", "pk")
        .first()
    )
    if run is None:
        return None
    run.fence += 1
    if run.attempts >= MAX_ATTEMPTS:
        run.status = ReportRunStatus.FAILED
        run.error = run.error or "the process ended during each attempt: see its log"
        ReportRun.objects.filter(pk=run.pk).update(
            status=run.status, error=run.error, fence=run.fence, retry_at=None, finished_at=Now()
        )
        log.error("report.failed", run=str(run.pk), schedule=run.schedule.name, reason=run.error)
        return run
    run.status, run.attempts = ReportRunStatus.RUNNING, run.attempts + 1
    # Nobody else may claim it as long as this process holds the lock of the destination.
    ReportRun.objects.filter(pk=run.pk).update(status=run.status, attempts=run.attempts, fence=run.fence)
    return run


def _write_run(run: ReportRun) -> bool:
    with tempfile.TemporaryDirectory(prefix="report-") as folder:
        path = Path(folder, "report")
        try:
            written = _write_file(run, path)
            deliver(path, destination=run.schedule.destination, key=run.file_key, written=written)
        except (DestinationFailed, ReportUnreadable, OSError) as error:
            _store_failure(run, str(error))
            return False
        except (ArithmeticError, ValueError, DatabaseError) as error:  # a row or period that no file can hold
            log.exception("report.unwritable", run=str(run.pk), schedule=run.schedule.name)
            _store_failure(run, f"{type(error).__name__}: {error}")
            return False
    crash.reach("report.delivered")
    return _store_delivery(run, written)


def _write_file(run: ReportRun, path: Path) -> WrittenFile:
    schedule = run.schedule
    zone = find_zone(schedule.time_zone) or dt.UTC
    kind = KINDS[schedule.kind]
    if kind.has_days_in_utc:
        balances.roll_up()  # what the periodic task has not added up yet
    query = ReportQuery(
        Period(run.period_start, run.period_end), zone, schedule.filters, database=_choose_database(run)
    )
    return files.write_file(
        path,
        file_format=schedule.file_format,
        columns=kind.columns,
        rows=kind.read_rows(query),
        zone=zone,
    )


def _choose_database(run: ReportRun) -> str:
    """A second attempt reads the primary: the replica may have cancelled the first one."""
    if run.attempts > 1 or not settings.DB_REPLICA_HOST:
        return PRIMARY
    return choose_database(not_before=database_now(), wait_seconds=settings.DB_REPLICA_MAX_LAG_SECONDS)


def _store_delivery(run: ReportRun, written: WrittenFile) -> bool:
    """Writes the result and the audit log entry in one transaction, guarded by the fencing token."""
    with transaction.atomic(durable=True):
        is_ours = ReportRun.objects.filter(pk=run.pk, fence=run.fence, status=ReportRunStatus.RUNNING).update(
            status=ReportRunStatus.DONE,
            sha256=written.sha256,
            row_count=written.row_count,
            byte_count=written.byte_count,
            error="",
            retry_at=None,
            finished_at=Now(),
        )
        if not is_ours:
            return False
        record(
            actor=f"schedule:{run.schedule.name}",
            action=StaffActionType.REPORT_SENT,
            object_type=ObjectType.REPORT,
            object_id=str(run.pk),
            reason=run.schedule.reason,
            after={
                "destination": run.schedule.destination,
                "file": run.file_key,
                "sha256": written.sha256,
                "rows": written.row_count,
                "bytes": written.byte_count,
            },
        )
    log.info("report.sent", schedule=run.schedule.name, file=run.file_key, rows=written.row_count)
    return True


def _store_failure(run: ReportRun, reason: str) -> None:
    has_failed = run.attempts >= MAX_ATTEMPTS
    ReportRun.objects.filter(pk=run.pk, fence=run.fence, status=ReportRunStatus.RUNNING).update(
        status=ReportRunStatus.FAILED if has_failed else ReportRunStatus.QUEUED,
        error=reason[:2000],
        retry_at=None if has_failed else Now() + RETRY_AFTER[run.attempts - 1],
        finished_at=Now() if has_failed else None,
    )
    level = log.error if has_failed else log.warning
    event = "report.failed" if has_failed else "report.delayed"
    level(event, run=str(run.pk), schedule=run.schedule.name, attempts=run.attempts, reason=reason)
