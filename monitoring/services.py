"""Runs the consistency checks and stores their findings."""

import datetime as dt
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import connection, transaction

from common.clock import database_now
from monitoring.consistency import registry
from monitoring.consistency.check import FETCHED, SAMPLE, Check, Result
from monitoring.models import ConsistencyResult, ConsistencyRun
from monitoring.pruning import SAGA_RETENTION

Parameters = dict[str, Any]
log = structlog.get_logger(__name__)

# A look at everything may take longer than a request may.
STATEMENT_TIMEOUT_MINUTES = 10
# The platform hears of what happens at a channel within seconds: by webhook, and by asking after a minute.
GRACE = dt.timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Report:
    started_at: dt.datetime
    finished_at: dt.datetime
    since: dt.datetime | None
    results: tuple[Result, ...]

    @property
    def failed(self) -> int:
        return sum(not result.passed for result in self.results)


def run_checks(
    *,
    since: dt.datetime | dt.timedelta | None = None,
    only: Sequence[str] = (),
    fix: bool = False,
    grace: dt.timedelta = GRACE,
) -> Report:
    """`since` is a moment, or how long ago. Raises `UnknownCheck`."""
    checks = [registry.find(name) for name in only] or registry.CHECKS
    started_at = database_now()
    if isinstance(since, dt.timedelta):
        since = started_at - since
    given = parameters(since=since, grace=grace)
    results = tuple(_run(check, given, fix=fix) for check in checks)
    report = Report(started_at, database_now(), since, results)
    _keep(report, with_fixes=fix)
    for result in results:
        if not result.passed:
            log.error("consistency.failed", check=result.name, count=result.count, sample=result.sample)
    return report


def _run(check: Check, given: Parameters, *, fix: bool) -> Result:
    began = time.monotonic()
    offenders, count = _look(check, given)
    found = count
    if fix and check.fix is not None and offenders:
        check.fix(offenders)
        offenders, count = _look(check, given)
    return Result(
        name=check.name,
        means=str(check.means),
        passed=count == 0,
        count=count,
        sample=tuple(offenders[:SAMPLE]),
        fixable=check.fix is not None,
        fixed=max(found - count, 0),
        seconds=round(time.monotonic() - began, 3),
    )


def _look(check: Check, given: Parameters) -> tuple[list[str], int]:
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(
            f"SET TRANSACTION READ ONLY; SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT_MINUTES}min'"
        )
        return find_offenders(check, given)


def find_offenders(check: Check, given: Parameters) -> tuple[list[str], int]:
    """Some offenders, and how many there are: one statement, so that the two agree."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id, count(*) OVER () FROM ({check.sql}) AS offenders ORDER BY id LIMIT {FETCHED}",  # noqa: S608
            given,
        )
        rows = cursor.fetchall()
    return [row[0] for row in rows], rows[0][1] if rows else 0


def parameters(*, since: dt.datetime | None, grace: dt.timedelta) -> Parameters:
    return {
        "since": since or "-infinity",
        "grace": grace.total_seconds(),
        "saga_retention": SAGA_RETENTION.total_seconds(),
    }


def _keep(report: Report, *, with_fixes: bool) -> None:
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
