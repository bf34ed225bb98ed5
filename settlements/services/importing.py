"""Imports one statement: all of its lines in one transaction, or none.

The same bytes, or the same lines in bytes that were made again, are imported once. Memory is flat: the parser yields a
line, and COPY sends it.
"""

import hashlib
import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import psycopg
from django.db import connection
from django.db.models import QuerySet

from audit.action_types import ObjectType, StaffActionType
from audit.services import record
from common.ids import uuid7
from settlements.models import FileState, StatementFile, StatementFormat
from settlements.parsers.base import (
    Parsed,
    ParsedLine,
    PayoutItem,
    StatedTotals,
    StatementIdentity,
    StatementRefused,
)
from settlements.parsers.registry import PARSERS, get_day_period
from settlements.services.long_transactions import statement_transaction

CHUNK_BYTES = 1024 * 1024
PROGRESS_LINES = 50_000
Progress = Callable[[str], None]

_COPY = """
COPY statement_lines (id, file_id, number, kind, gross_minor, fee_minor, net_minor, currency, reference, channel_no,
    line_no, payout_no, occurred_at, fee_rate_millionths, raw, state) FROM STDIN
"""
# A movement is paid out days after it was reported, so it may be a line of an earlier file.
_ASSIGN_PAYOUTS = """
UPDATE statement_lines AS line SET payout_no = item.payout_no
FROM unnest(%(payout_nos)s::text[], %(line_nos)s::text[]) AS item(payout_no, line_no), statement_files AS file
WHERE line.line_no = item.line_no AND line.payout_no = '' AND file.id = line.file_id
  AND file.channel = %(channel)s AND file.environment = %(environment)s
  AND file.channel_account_id IS NOT DISTINCT FROM %(account_id)s
"""


@dataclass(frozen=True, slots=True)
class ImportedStatement:
    file: StatementFile
    is_new: bool


@dataclass(slots=True)
class _Reading:
    """The results of one pass over the lines."""

    count: int = 0
    digest: Any = field(default_factory=hashlib.sha256)
    totals: StatedTotals | None = None
    items: list[PayoutItem] = field(default_factory=list)


def ignore_progress(_text: str) -> None:
    """For callers that show none."""


def import_statement(
    *,
    file: BinaryIO,
    format: StatementFormat,
    identity: StatementIdentity,
    name: str = "",
    imported_by: str = "",
    reason: str = "",
    progress: Progress = ignore_progress,
    waits: bool = True,
) -> ImportedStatement:
    """Raises `StatementRefused`: nothing is stored. `file` can be read again from its beginning. The import is audited
    when a person makes it. While another statement of the account is imported or matched, it waits, or raises
    `NotPermitted` without `waits`."""
    sha256 = _digest(file)
    with statement_transaction(identity, waits=waits):
        known = _list_valid().filter(sha256=sha256).first()
        if known is not None:
            _require_same_identity(known, format, identity)
            return ImportedStatement(known, is_new=False)
        reading = _Reading()
        lines = _read_lines(PARSERS[format](file, identity), reading, progress)
        same_day = _list_valid().filter(**_build_identity_fields(format, identity)).first()
        if same_day is not None and same_day.line_count:
            return _compare_with_imported(same_day, lines, reading)
        imported = StatementFile(id=uuid7(), **_build_identity_fields(format, identity))
        _store_lines(imported.id, lines)
        if reading.totals is None:
            raise StatementRefused("the file ends before its totals")
        if same_day is not None:
            if not reading.count:
                return ImportedStatement(same_day, is_new=False)
            same_day.delete()  # the day was recorded as empty before its file was there
        # The files of two days without a movement may be equal.
        imported.sha256 = sha256 if reading.count else hash_empty_day(format, identity)
        imported.content_sha256 = reading.digest.hexdigest()
        imported.period_start, imported.period_end = get_day_period(identity.channel, identity.day)
        imported.name, imported.imported_by = name[:255], imported_by
        imported.line_count, imported.totals = reading.count, dict(reading.totals.sums)
        imported.save(force_insert=True)
        _assign_payouts(identity, reading.items)
        if imported_by:
            _record_import(imported, reason)
    progress(f"{reading.count} lines imported")
    return ImportedStatement(imported, is_new=True)


def _record_import(imported: StatementFile, reason: str) -> None:
    record(
        actor=imported.imported_by,
        action=StaffActionType.STATEMENT_IMPORT,
        object_type=ObjectType.STATEMENT,
        object_id=str(imported.id),
        reason=reason,
        after={
            "name": imported.name,
            "sha256": imported.sha256,
            "format": imported.format,
            "channel": imported.channel,
            "environment": imported.environment,
            "channel_account": str(imported.channel_account_id or ""),
            "day": imported.day.isoformat(),
            "lines": imported.line_count,
        },
    )


def record_empty_day(*, format: StatementFormat, identity: StatementIdentity) -> ImportedStatement:
    """The channel says that nothing happened on the day: it has no file."""
    with statement_transaction(identity):
        known = _list_valid().filter(**_build_identity_fields(format, identity)).first()
        if known is not None:
            return ImportedStatement(known, is_new=False)
        empty = StatementFile(id=uuid7(), **_build_identity_fields(format, identity), line_count=0, totals={})
        empty.sha256, empty.content_sha256 = hash_empty_day(format, identity), _Reading().digest.hexdigest()
        empty.period_start, empty.period_end = get_day_period(identity.channel, identity.day)
        empty.save(force_insert=True)
    return ImportedStatement(empty, is_new=True)


def hash_empty_day(format: StatementFormat, identity: StatementIdentity) -> str:
    parts = (
        format.value,
        identity.channel,
        identity.environment,
        str(identity.channel_account_id),
        identity.day.isoformat(),
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _list_valid() -> QuerySet[StatementFile]:
    """A voided statement makes room for another one."""
    return StatementFile.objects.exclude(state=FileState.VOIDED)


def _digest(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(CHUNK_BYTES):
        digest.update(chunk)
    file.seek(0)
    return digest.hexdigest()


def _build_identity_fields(format: StatementFormat, identity: StatementIdentity) -> dict[str, Any]:
    return {
        "format": format,
        "channel": identity.channel,
        "environment": identity.environment,
        "channel_account_id": identity.channel_account_id,
        "day": identity.day,
    }


def _require_same_identity(
    known: StatementFile, format: StatementFormat, identity: StatementIdentity
) -> None:
    for name, value in _build_identity_fields(format, identity).items():
        if getattr(known, name) != value:
            raise StatementRefused(
                f"the file was imported before with another {name}: {getattr(known, name)}, not {value}"
            )


def _compare_with_imported(
    known: StatementFile, lines: Iterator[ParsedLine], reading: _Reading
) -> ImportedStatement:
    for _line in lines:
        pass
    if reading.digest.hexdigest() != known.content_sha256:
        raise StatementRefused(
            f"a statement of {known.day} with other lines was imported before"
            f" ({known.line_count} lines; this one has {reading.count}): {known.id}"
        )
    return ImportedStatement(known, is_new=False)


def _read_lines(parsed: Iterator[Parsed], reading: _Reading, progress: Progress) -> Iterator[ParsedLine]:
    for each in parsed:
        if isinstance(each, StatedTotals):
            reading.totals = each
        elif isinstance(each, PayoutItem):
            reading.items.append(each)
        else:
            reading.count += 1
            reading.digest.update(repr(_list_values(each)).encode("utf-8", "surrogatepass"))
            if reading.count % PROGRESS_LINES == 0:
                progress(f"{reading.count} lines read")
            yield each


def _list_values(line: ParsedLine) -> tuple[Any, ...]:
    return (
        line.kind.value,
        line.gross_minor,
        line.fee_minor,
        line.net_minor,
        line.currency,
        line.reference,
        line.channel_no,
        line.line_no,
        line.payout_no,
        line.occurred_at.isoformat(),
        line.fee_rate_millionths,
    )


def _store_lines(file_id: uuid.UUID, lines: Iterator[ParsedLine]) -> None:
    try:
        with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
            for number, line in enumerate(lines, start=1):
                raw = json.dumps(dict(line.raw), ensure_ascii=False)
                copy.write_row((uuid7(), file_id, number, *_list_values(line), raw, "new"))
    except (psycopg.DataError, UnicodeEncodeError) as error:
        raise StatementRefused(f"a value cannot be stored: {str(error).splitlines()[0]}") from error


def _assign_payouts(identity: StatementIdentity, items: list[PayoutItem]) -> None:
    if not items:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            _ASSIGN_PAYOUTS,
            {
                "payout_nos": [item.payout_no for item in items],
                "line_nos": [item.line_no for item in items],
                "channel": identity.channel,
                "environment": identity.environment,
                "account_id": identity.channel_account_id,
            },
        )
