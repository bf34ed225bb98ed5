"""Matches one statement with what the ledger expects, in one transaction, and posts what was matched.

After a crash, the next run begins again where a committed state says so: a statement is imported, matched, posted.
"""

import time
import uuid
from typing import Any

import structlog
from django.db import DatabaseError, connection

from settlements.models import FileState, StatementFile
from settlements.parsers.base import StatementIdentity
from settlements.services import match_as_reported, match_days, match_lines
from settlements.services.expectations import collect_expectations
from settlements.services.importing import Progress, ignore_progress
from settlements.services.line_postings import post_lines
from settlements.services.long_transactions import statement_transaction

log = structlog.get_logger(__name__)

MANY_ROWS = 10_000


class SettlingFailed(Exception):
    """Some statements were not matched and posted; the others were. The next run tries again."""


def settle_statements(*, progress: Progress = ignore_progress) -> int:
    """Matches and posts every statement that is not finished, in the order of days. Returns how many.

    The transaction of a statement that the database refuses is rolled back, and the others are settled. Raises
    `SettlingFailed` at the end.
    """
    unfinished = StatementFile.objects.filter(state__in=(FileState.IMPORTED, FileState.MATCHED))
    # A statement that is about to be voided would be matched for nothing.
    pending = unfinished.filter(void_approved_by="").order_by("day", "id")
    ids = list(pending.values_list("id", flat=True))
    failures = []
    for file_id in ids:
        try:
            settle_statement(file_id=file_id, progress=progress)
        except DatabaseError as error:
            reason = str(error).splitlines()[0]
            log.exception("statement.not_settled", file=str(file_id), reason=reason)
            failures.append(f"{file_id}: {reason}")
    if failures:
        raise SettlingFailed("; ".join(failures))
    return len(ids)


def settle_statement(*, file_id: uuid.UUID, progress: Progress = ignore_progress) -> None:
    match_statement(file_id=file_id, progress=progress)
    post_lines(file_id=file_id, progress=progress)


def match_statement(*, file_id: uuid.UUID, progress: Progress = ignore_progress) -> None:
    """Every line is matched afterwards, or in a case."""
    file = StatementFile.objects.get(id=file_id)
    identity = StatementIdentity(file.channel, file.environment, file.channel_account_id, file.day)
    with statement_transaction(identity):
        file.refresh_from_db(fields=["state"])
        if file.state != FileState.IMPORTED:
            return
        expected = collect_expectations(identity, file.period_start)
        progress(f"{file}: {expected} new expectations")
        _refresh_statistics(file, expected)
        compare_lines(file, progress)
        with connection.cursor() as cursor:
            parameters = build_parameters(file)
            cursor.execute(match_days.END_FILE, parameters)
            cursor.execute(match_days.NET_ZERO, parameters)
            cursor.execute(match_days.OPEN_MISSING_CASES, parameters)
            missing = cursor.rowcount
            cursor.execute(match_days.COMPARE_DAY, parameters)
    log.info(
        "statement.matched", file=str(file_id), channel=file.channel, lines=file.line_count, missing=missing
    )
    progress(f"{file}: matched, {missing} missing in it and earlier ones")


def compare_lines(file: StatementFile, progress: Progress = ignore_progress) -> None:
    """Settles the new lines of the file, and the account's lines that wait in a case for an expectation. The caller
    holds the account's lock (`statement_transaction`)."""
    parameters = build_parameters(file)
    with connection.cursor() as cursor:
        # Sorts and hashes of a million lines stay in memory where they fit, and go to disk where not.
        cursor.execute("SET LOCAL work_mem = '64MB'")
        for label, text in (*match_lines.STEPS, *match_as_reported.STEPS):
            began = time.monotonic()
            for statement in text.split(";\n"):
                cursor.execute(statement, parameters)
            if label:
                progress(f"{file}: {label}, {cursor.rowcount} rows, {time.monotonic() - began:.1f} s")


def _refresh_statistics(file: StatementFile, expected: int) -> None:
    """Analyzes the tables that have grown in this transaction: PostgreSQL would plan for their size of before."""
    with connection.cursor() as cursor:
        if expected > MANY_ROWS:
            cursor.execute("ANALYZE statement_expectations")
        if file.line_count > MANY_ROWS:
            cursor.execute("ANALYZE statement_lines")


def build_parameters(file: StatementFile) -> dict[str, Any]:
    return {
        "file_id": file.id,
        "channel": file.channel,
        "environment": file.environment,
        "account_id": file.channel_account_id,
        "day": file.day,
        "period_start": file.period_start,
        "period_end": file.period_end,
    }
