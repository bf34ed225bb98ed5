"""Posts matched lines to the ledger: fees, payouts and rounding. A line is posted once: its id is the subject."""

import uuid
from collections.abc import Iterator, Mapping, Sequence

from django.db import transaction
from django.db.models.functions import Now

from ledger.bulk_posting import post_transfers
from ledger.chart import LedgerAccountKind
from ledger.models import TransferEntry
from ledger.posting import Transfer
from ledger.postings import HoldingAccount
from ledger.statement_postings import StatementSubject, build_correction, build_fee, build_payout
from settlements.models import FileState, LineKind, LineState, StatementFile, StatementLine
from settlements.services.importing import Progress, ignore_progress

BATCH_LINES = 5_000
_OF_A_PAYMENT = (LineKind.PAYMENT, LineKind.REFUND, LineKind.REFUND_REVERSAL)


def post_lines(*, file_id: uuid.UUID, progress: Progress = ignore_progress) -> None:
    """Posts in batches, each in a transaction of its own: after a crash, the next run continues."""
    file = StatementFile.objects.get(id=file_id)
    if file.state != FileState.MATCHED:
        return
    post_matched_lines(file, progress=progress)
    StatementFile.objects.filter(id=file_id, state=FileState.MATCHED).update(state=FileState.POSTED)


def post_matched_lines(file: StatementFile, *, progress: Progress = ignore_progress) -> None:
    """Posts the matched lines of all statements of the file's account."""
    posted = 0
    while count := _post_batch(file):
        posted += count
        progress(f"{file}: {posted} lines posted")


@transaction.atomic
def _post_batch(file: StatementFile) -> int:
    """Reads all files of the account: matching this one has also matched lines of earlier files that were unknown."""
    waiting = StatementLine.objects.filter(
        file__channel=file.channel,
        file__environment=file.environment,
        file__channel_account_id=file.channel_account_id,
        state=LineState.MATCHED,
        posted_at=None,
    )
    ordered = waiting.order_by("file_id", "number").defer("raw")
    lines = list(ordered.select_for_update(of=("self",))[:BATCH_LINES])
    _post(lines)
    return len(lines)


def build_transfers(
    file: StatementFile, line: StatementLine, payment_id: uuid.UUID | None
) -> Iterator[Transfer]:
    """Computes the movements of a line beyond the money that the ledger already has. A merchant that has its own
    account pays the channel's fees and gets the payouts itself, so its lines move nothing of the platform."""
    if file.channel_account is not None and file.channel_account.merchant_id is not None:
        return
    subject = build_subject(file, line, payment_id)
    if line.kind == LineKind.ROUNDING:
        if line.fee_minor:
            yield build_correction(subject, LedgerAccountKind.ROUNDING, line.fee_minor, sequence=0)
        return
    if line.fee_minor:
        yield build_fee(subject, line.fee_minor)
    if line.kind == LineKind.PAYOUT and line.gross_minor:
        yield build_payout(subject, -line.gross_minor)


def build_subject(file: StatementFile, line: StatementLine, payment_id: uuid.UUID | None) -> StatementSubject:
    return StatementSubject(
        line.id,
        line.line_no or line.channel_no or line.reference or str(line.number),
        file.environment,
        line.currency,
        HoldingAccount(file.channel, file.channel_account_id),
        payment_id,
    )


def post_lines_of_case(lines: Sequence[StatementLine]) -> None:
    """In the transaction that resolves the case."""
    _post(lines)


def _post(lines: Sequence[StatementLine]) -> None:
    files = StatementFile.objects.select_related("channel_account").in_bulk({line.file_id for line in lines})
    payments = _find_payments(lines)
    post_transfers(
        [
            transfer
            for line in lines
            for transfer in build_transfers(files[line.file_id], line, payments.get(line.match_id))
        ]
    )
    StatementLine.objects.filter(id__in=[line.id for line in lines]).update(posted_at=Now())


def _find_payments(lines: Sequence[StatementLine]) -> Mapping[int | None, uuid.UUID | None]:
    """The payments of lines that have met a payment or refund, by what they met. A payment's page shows its fees."""
    met = [line.match_id for line in lines if line.match_id is not None and line.kind in _OF_A_PAYMENT]
    entries = TransferEntry.objects.filter(id__in=met)
    return dict(entries.values_list("id", "transfer__payment_id"))
