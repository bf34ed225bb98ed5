"""Runs integrity checks, repairs violations where that is safe, and stores the results."""

import datetime as dt
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog
from django.db import connection, transaction

from common.clock import database_now
from monitoring.integrity import sandboxes
from monitoring.integrity.check import CheckResult, IntegrityCheck, Violation
from monitoring.integrity.registry import CHECKS, find_check
from monitoring.integrity.repairs import REPAIRS
from monitoring.integrity.search import GRACE, NO_BOOKS, find_violations
from monitoring.models import ConsistencyResult, ConsistencyRun
from monitoring.sandbox_books import read_sandbox_books

log = structlog.get_logger(__name__)

# A check of all history may take longer than a request may.
STATEMENT_TIMEOUT_MINUTES = 10
# Violations that one run fetches per check: enough to repair the usual accident at once.
FETCHED_VIOLATIONS = 1000
SAMPLE_SIZE = 20


@dataclass(frozen=True, slots=True)
class CheckReport:
    started_at: dt.datetime
    finished_at: dt.datetime
    since: dt.datetime | None
    results: tuple[CheckResult, ...]

    @property
    def failed(self) -> int:
        return sum(not result.passed for result in self.results)


def run_checks(
    *,
    since: dt.datetime | dt.timedelta | None = None,
    only: Sequence[str] = (),
    fix: bool = False,
    grace: dt.timedelta = GRACE,
) -> CheckReport:
    """Runs all checks, or those named in `only`. `since` is a moment, or a time before now. Raises `UnknownCheck`."""
    checks = [find_check(name) for name in only] or CHECKS
    started_at = database_now()
    if isinstance(since, dt.timedelta):
        since = started_at - since
    # Other checks need no request to the sandboxes.
    books = read_sandbox_books() if set(sandboxes.CHECKS) & set(checks) else NO_BOOKS
    results = tuple(_run_check(check, since=since, grace=grace, fix=fix, books=books) for check in checks)
    report = CheckReport(started_at, database_now(), since, results)
    _store_report(report, with_fixes=fix)
    for result in results:
        if not result.passed:
            log.error("consistency.failed", check=result.name, count=result.count, sample=result.sample)
    return report


def _run_check(
    check: IntegrityCheck,
    *,
    since: dt.datetime | None,
    grace: dt.timedelta,
    fix: bool,
    books: Mapping[str, str | None],
) -> CheckResult:
    began = time.monotonic()
    violations, count = _find_violations(check, since, grace, books)
    found = count
    repair = REPAIRS.get(check.name)
    if fix and repair is not None and violations:
        repair([violation.id for violation in violations])
        violations, count = _find_violations(check, since, grace, books)
    return CheckResult(
        name=check.name,
        means=str(check.meaning),
        passed=count == 0,
        count=count,
        sample=tuple(violation.row for violation in violations[:SAMPLE_SIZE]),
        fixable=repair is not None,
        fixed=max(found - count, 0),
        seconds=round(time.monotonic() - began, 3),
    )


def _find_violations(
    check: IntegrityCheck,
    since: dt.datetime | None,
    grace: dt.timedelta,
    books: Mapping[str, str | None],
) -> tuple[list[Violation], int]:
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(
            f"SET TRANSACTION READ ONLY; SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT_MINUTES}min'"
        )
        return find_violations(cursor, check, since=since, grace=grace, limit=FETCHED_VIOLATIONS, books=books)


def _store_report(report: CheckReport, *, with_fixes: bool) -> None:
    with transaction.atomic():
        run = ConsistencyRun.objects.create(
            started_at=report.started_at,
            finished_at=report.finished_at,
            since=report.since,
            with_fixes=with_fixes,
            failed_checks=report.failed,
        )
        ConsistencyResult.objects.bulk_create(
            ConsistencyResult(
                run=run,
                name=result.name,
                passed=result.passed,
                count=result.count,
                sample=list(result.sample),
                fixed=result.fixed,
                seconds=result.seconds,
            )
            for result in report.results
        )
