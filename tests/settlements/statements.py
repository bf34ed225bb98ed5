"""Builds small statements in the platform's CSV format, and posts the money that they report."""

import datetime as dt
import io
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection, transaction

from ledger.bulk_posting import post_transfers
from ledger.chart import AccountIdentity, LedgerAccountKind
from ledger.models import EntryDirection, TransferEntry, TransferEvent
from ledger.posting import Leg, PostingSubject, Transfer
from settlements.models import SettlementCase, StatementFile, StatementFormat
from settlements.parsers.base import StatementIdentity
from settlements.parsers.own_csv import COLUMNS
from settlements.services.importing import import_statement
from settlements.services.matching import settle_statement

CHANNEL = "stripe"


@dataclass(frozen=True)
class Reported:
    """One line of a statement."""

    reference: str
    gross_minor: int
    kind: str = "payment"
    fee_minor: int = 0
    currency: str = "USD"
    later_by: dt.timedelta | None = None  # than the posting in the ledger
    payout_no: str = ""
    channel_no: str = ""


def build_identity(day: dt.date, channel_account_id: uuid.UUID | None = None) -> StatementIdentity:
    return StatementIdentity(CHANNEL, "test", channel_account_id, day)


def build_csv(lines: Sequence[Reported], day: dt.date) -> bytes:
    rows = [",".join(COLUMNS)]
    totals: dict[str, list[int]] = {}
    for line in lines:
        at = _place_in_day(line, day).isoformat()
        net = line.gross_minor - line.fee_minor
        amounts = ",".join(_write_major(each) for each in (line.gross_minor, line.fee_minor, net))
        rows.append(
            f"{line.kind},{at},{line.currency},{amounts},{line.reference},{line.channel_no},{line.payout_no}"
        )
        total = totals.setdefault(line.currency, [0, 0, 0])
        total[0] += 1
        total[1] += line.gross_minor
        total[2] += line.fee_minor
    for currency, (count, gross, fee) in totals.items():
        amounts = ",".join(_write_major(each) for each in (gross, fee, gross - fee))
        rows.append(f"total,,{currency},{amounts},{count},,")
    return ("\n".join(rows) + "\n").encode()


def read_now() -> dt.datetime:
    """Returns the time of the test's transaction, which all its postings have."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        (now,) = cursor.fetchone()
    assert isinstance(now, dt.datetime)
    return now


def find_day(offset: int = 0) -> dt.date:
    return read_now().astimezone(dt.UTC).date() + dt.timedelta(days=offset)


def _place_in_day(line: Reported, day: dt.date) -> dt.datetime:
    if line.later_by is not None or day == find_day():
        return read_now() + (line.later_by or dt.timedelta())
    return dt.datetime.combine(day, dt.time(0, 0, 1), dt.UTC)


def _write_major(amount_minor: int) -> str:
    sign = "-" if amount_minor < 0 else ""
    return f"{sign}{abs(amount_minor) // 100}.{abs(amount_minor) % 100:02d}"


def import_lines(
    lines: Sequence[Reported],
    day_offset: int = 0,
    *,
    settle: bool = True,
    channel_account_id: uuid.UUID | None = None,
) -> StatementFile:
    """Imports a statement of the day of the test's postings, or of a later day."""
    day = find_day(day_offset)
    file = io.BytesIO(build_csv(lines, day))
    identity = build_identity(day, channel_account_id)
    imported = import_statement(file=file, format=StatementFormat.CSV, identity=identity)
    if settle:
        settle_statement(file_id=imported.file.id)
    imported.file.refresh_from_db()
    return imported.file


def expect(*amounts: tuple[str, int], event: TransferEvent = TransferEvent.PAYMENT_CAPTURED) -> None:
    """Posts money at the current time. A negative amount is credited, as for a refund."""
    receivable = AccountIdentity(LedgerAccountKind.CHANNEL_RECEIVABLE, "test", "USD", None, CHANNEL, None)
    other = AccountIdentity(LedgerAccountKind.SUSPENSE, "test", "USD", None, CHANNEL, None)
    transfers = []
    for reference, amount_minor in amounts:
        debited, credited = (receivable, other) if amount_minor > 0 else (other, receivable)
        subject = PostingSubject(uuid.uuid4(), reference, None, None, "test", "USD")
        legs = [
            Leg(debited, EntryDirection.DEBIT, abs(amount_minor)),
            Leg(credited, EntryDirection.CREDIT, abs(amount_minor)),
        ]
        transfers.append(Transfer(event=event, subject=subject, legs=legs))
    with transaction.atomic():
        post_transfers(transfers)


def list_cases() -> list[tuple[str, str, int, int]]:
    found = SettlementCase.objects.exclude(state="resolved").order_by("kind", "reference")
    return [(case.kind, case.reference, case.expected_minor, case.reported_minor) for case in found]


def read_balances() -> dict[str, int]:
    """Returns debits less credits of all postings of statements and their reversals, by kind of account."""
    found: dict[str, int] = {}
    events = ("channel.fee", "channel.payout", "statement.corrected", "statement.voided")
    for entry in TransferEntry.objects.filter(transfer__event__in=events).select_related("account"):
        sign = 1 if entry.direction == "debit" else -1
        found[entry.account.kind] = found.get(entry.account.kind, 0) + sign * entry.amount_minor
    return {kind: amount for kind, amount in found.items() if amount}


def find_same_person(approver: str, requester: str) -> str:
    """Returns the reason why this person must not approve; empty if they may."""
    return "the same person" if approver == requester else ""
