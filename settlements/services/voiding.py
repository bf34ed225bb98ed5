"""Voids a statement that was imported by mistake: requested by one person, approved by another, done by a worker.

Everything that the statement did is undone in one transaction: its postings are reversed, its cases closed, and what it
has met is expected again. Its lines are kept and count for nothing. So the right statement can be imported.
"""

import uuid
from collections.abc import Iterator, Sequence

import structlog
from django.db import DatabaseError, connection
from django.utils.translation import gettext as _

from audit.action_types import ObjectType, StaffActionType
from audit.recording import recording
from common.dual_control import FindConflict
from common.errors import NotPermitted, UnknownObject
from ledger.bulk_posting import reverse_transfers
from settlements.models import FileState, StatementFile, StatementLine
from settlements.parsers.base import StatementIdentity
from settlements.services import match_days, void_statements
from settlements.services.importing import Progress, ignore_progress
from settlements.services.line_postings import post_matched_lines
from settlements.services.long_transactions import statement_transaction
from settlements.services.matching import build_parameters, compare_lines

log = structlog.get_logger(__name__)

BATCH_LINES = 5_000


class VoidingFailed(Exception):
    """Some statements were not voided; the others were. The next run tries again."""


def request_void(*, file_id: uuid.UUID, actor: str, reason: str) -> None:
    """Nothing changes before a second person agrees. Raises `NotPermitted`."""
    with recording(
        StaffActionType.STATEMENT_VOID_REQUEST, ObjectType.STATEMENT, file_id, actor=actor, reason=reason
    ) as entry:
        file = _lock_valid(file_id)
        entry.before = {"void_requested_by": file.void_requested_by}
        entry.after = {"void_requested_by": actor}
        file.void_requested_by, file.void_reason = actor, reason
        file.save(update_fields=["void_requested_by", "void_reason"])


def approve_void(*, file_id: uuid.UUID, actor: str, reason: str, find_conflict: FindConflict) -> None:
    """A worker voids the statement next. Raises `NotPermitted` unless `actor` is a second person."""
    with recording(
        StaffActionType.STATEMENT_VOID, ObjectType.STATEMENT, file_id, actor=actor, reason=reason
    ) as entry:
        file = _lock_valid(file_id)
        if not file.void_requested_by:
            raise NotPermitted(_("Nobody has requested to void this statement."))
        if conflict := find_conflict(actor, file.void_requested_by):
            raise NotPermitted(conflict)
        file.void_approved_by = actor
        file.save(update_fields=["void_approved_by"])
        entry.after = {
            "requested_by": file.void_requested_by,
            "sha256": file.sha256,
            "day": file.day.isoformat(),
            "lines": file.line_count,
        }


def void_approved_statements(*, progress: Progress = ignore_progress) -> int:
    """Returns how many. The transaction of a statement that the database refuses is rolled back, and the others are
    voided. Raises `VoidingFailed` at the end."""
    approved = StatementFile.objects.exclude(state=FileState.VOIDED).exclude(void_approved_by="")
    ids = list(approved.order_by("id").values_list("id", flat=True))
    failures = []
    for file_id in ids:
        try:
            void_statement(file_id=file_id, progress=progress)
        except DatabaseError as error:
            reason = str(error).splitlines()[0]
            log.exception("statement.not_voided", file=str(file_id), reason=reason)
            failures.append(f"{file_id}: {reason}")
    if failures:
        raise VoidingFailed("; ".join(failures))
    return len(ids)


def void_statement(*, file_id: uuid.UUID, progress: Progress = ignore_progress) -> None:
    """Voids an approved statement. Does nothing when it is voided already."""
    file = StatementFile.objects.get(id=file_id)
    identity = StatementIdentity(file.channel, file.environment, file.channel_account_id, file.day)
    parameters = {**build_parameters(file), "actor": file.void_approved_by}
    with statement_transaction(identity), connection.cursor() as cursor:
        cursor.execute(void_statements.MARK_FILE, parameters)
        if not cursor.rowcount:
            return
        for text in void_statements.FREE:
            for statement in text.split(";\n"):
                cursor.execute(statement, parameters)
        # Now that its lines are voided, none of them is posted any more.
        reversed_count = sum(reverse_transfers(ids) for ids in _list_posted_lines(file))
        cursor.execute(void_statements.DECIDED_CASES)
        reversed_count += reverse_transfers([row[0] for row in cursor.fetchall()])
        cursor.execute(void_statements.DROP)
        # Lines of other statements may meet what this one has met.
        compare_lines(file)
        cursor.execute(void_statements.RESTORE_DUPLICATES, parameters)
        cursor.execute(match_days.NET_ZERO, parameters)
        cursor.execute(match_days.OPEN_MISSING_CASES, parameters)
        cursor.execute(void_statements.CLEAR_DAY, parameters)
        cursor.execute(void_statements.HAS_OTHER_STATEMENT, parameters)
        if cursor.fetchone() == (True,):
            cursor.execute(match_days.COMPARE_DAY, parameters)
        post_matched_lines(file)
    log.info("statement.voided", file=str(file_id), channel=file.channel, reversed_transfers=reversed_count)
    progress(f"{file}: voided, {reversed_count} transfers reversed")


def _lock_valid(file_id: uuid.UUID) -> StatementFile:
    file = StatementFile.objects.select_for_update().filter(id=file_id).first()
    if file is None:
        raise UnknownObject(_("There is no such statement."))
    if file.state == FileState.VOIDED or file.void_approved_by:
        raise NotPermitted(_("This statement is voided."))
    return file


def _list_posted_lines(file: StatementFile) -> Iterator[Sequence[uuid.UUID]]:
    """In batches, so that memory does not grow with the file."""
    posted = StatementLine.objects.filter(file=file, posted_at__isnull=False).order_by("number")
    last = 0
    while batch := list(posted.filter(number__gt=last).values_list("id", "number")[:BATCH_LINES]):
        yield [line_id for line_id, _number in batch]
        last = batch[-1][1]
