"""Posts opening entries for what happened before the ledger, or was not posted.

Each payment is locked and compared with the ledger, and what is missing is posted as its events would have been. So the
command may be repeated, and may run beside payments.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import DatabaseError, connection, transaction

from gateway import selectors
from gateway.models import (
    CLOSED_UNPAID_STATUSES,
    OPEN_REFUND_STATUSES,
    Payment,
    Refund,
    RefundStatus,
)
from gateway.state_machine import ledger_postings
from ledger.chart import LedgerAccountKind
from ledger.models import LedgerTransfer, TransferEvent
from ledger.selectors import get_fee_basis, has_pending_transfer, sum_captured, sum_posted

BATCH_SIZE = 500

# Payments of whose money, refunds or disputes something is not in the ledger.
_MISSING = """
WITH entries AS NOT MATERIALIZED (
    SELECT transfer.subject_id, account.kind, entry.phase,
           CASE entry.direction WHEN 'debit' THEN entry.amount_minor ELSE -entry.amount_minor END AS signed
    FROM ledger_transfers AS transfer JOIN ledger_entries AS entry ON entry.transfer_id = transfer.id
    JOIN ledger_accounts AS account ON account.id = entry.account_id
)
SELECT id FROM payments AS payment
WHERE id > %(after)s AND (
    (captured_minor > 0 AND captured_minor > (
        SELECT coalesce(sum(-signed), 0) FROM entries
        WHERE subject_id = payment.id AND kind = 'merchant_payable'))
    OR EXISTS (
        SELECT FROM payment_attempts AS attempt
        WHERE attempt.payment_id = payment.id AND attempt.duplicate_minor > 0
          AND NOT EXISTS (SELECT FROM ledger_transfers WHERE subject_id = attempt.id))
    OR EXISTS (
        SELECT FROM refunds AS refund
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(signed) FILTER (WHERE phase = 'posted'), 0) AS posted,
                   coalesce(sum(signed) FILTER (WHERE phase = 'pending'), 0) AS pending
            FROM entries WHERE subject_id = refund.id AND kind = 'refunds') AS ledger
        WHERE refund.payment_id = payment.id AND (ledger.posted, ledger.pending) IS DISTINCT FROM (
            CASE refund.status WHEN 'succeeded' THEN refund.amount_minor ELSE refund.late_refunded_minor END,
            CASE WHEN refund.status IN ('pending', 'processing') THEN refund.amount_minor ELSE 0 END))
    OR EXISTS (
        SELECT FROM disputes AS dispute
        WHERE dispute.payment_id = payment.id AND (
            SELECT coalesce(sum(signed), 0) FROM entries
            WHERE subject_id = dispute.id AND kind IN ('disputes', 'suspense')
        ) <> CASE WHEN dispute.status = 'lost'
                  OR (dispute.status NOT IN ('won', 'closed') AND dispute.stage <> 'inquiry')
             THEN dispute.amount_minor ELSE 0 END))
ORDER BY id LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class OpeningFailure:
    payment_id: uuid.UUID
    problem: str


@dataclass(frozen=True, slots=True)
class OpeningResult:
    opened: int
    failures: Sequence[OpeningFailure]


def open_ledger() -> OpeningResult:
    """Each payment has its own transaction, so one that fails does not stop the others."""
    opened, failures, after = 0, list[OpeningFailure](), uuid.UUID(int=0)
    while found := _find_missing(after):
        for payment_id in found:
            try:
                _open_payment(payment_id)
            except DatabaseError as error:
                failures.append(OpeningFailure(payment_id, str(error)))
            else:
                opened += 1
        after = found[-1]
    return OpeningResult(opened, failures)


def _find_missing(after: uuid.UUID) -> list[uuid.UUID]:
    with connection.cursor() as cursor:
        cursor.execute(_MISSING, {"after": after, "limit": BATCH_SIZE})
        return [payment_id for (payment_id,) in cursor.fetchall()]


@transaction.atomic
def _open_payment(payment_id: uuid.UUID) -> None:
    payment = selectors.lock_payment(payment_id)
    posted = set(LedgerTransfer.objects.filter(payment_id=payment_id).values_list("subject_id", flat=True))
    _open_captured(payment)
    for attempt in payment.attempts.filter(duplicate_minor__gt=0).exclude(id__in=posted):
        ledger_postings.post_duplicate_payment(payment=payment, attempt=attempt, is_opening=True)
    for refund in payment.refunds.order_by("created_at", "id"):
        refund.payment = payment
        _open_refund(refund, is_posted=refund.id in posted)
    for dispute in payment.disputes.all():
        dispute.payment = payment
        suspense_minor = sum_posted(dispute.id, LedgerAccountKind.SUSPENSE)
        ledger_postings.post_dispute_change(
            dispute=dispute,
            withdrawn_before_minor=sum_posted(dispute.id, LedgerAccountKind.DISPUTES) + suspense_minor,
            suspense_before_minor=suspense_minor,
            is_opening=True,
        )


def _open_captured(payment: Payment) -> None:
    """A later capture may have been posted already."""
    missing_minor = payment.captured_minor - sum_captured(payment.id)
    if missing_minor > 0:
        is_late = payment.status in CLOSED_UNPAID_STATUSES
        ledger_postings.post_opening_capture(
            payment=payment,
            amount_minor=missing_minor,
            event=TransferEvent.PAYMENT_LATE if is_late else TransferEvent.PAYMENT_CAPTURED,
        )


def _open_refund(refund: Refund, *, is_posted: bool) -> None:
    """An older release may have settled a refund that this one requested, or changed its outcome."""
    if refund.status == RefundStatus.FAILED and refund.late_refunded_minor == 0 and not is_posted:
        return
    if not is_posted:
        ledger_postings.post_requested_refund(refund, is_opening=True)
    if refund.status in OPEN_REFUND_STATUSES:
        return
    has_succeeded = refund.status == RefundStatus.SUCCEEDED
    if has_pending_transfer(refund.id):
        if has_succeeded:
            ledger_postings.post_succeeded_refund(
                refund, fee_basis=get_fee_basis(refund.payment_id), is_opening=True
            )
        else:
            ledger_postings.post_failed_refund(refund, is_opening=True)
    refunded_minor = refund.amount_minor if has_succeeded else refund.late_refunded_minor
    posted_minor = sum_posted(refund.id, LedgerAccountKind.REFUNDS)
    if posted_minor > refunded_minor:
        ledger_postings.post_reversed_refund(refund, is_opening=True)
        posted_minor = sum_posted(refund.id, LedgerAccountKind.REFUNDS)
    if posted_minor < refunded_minor:
        ledger_postings.post_late_refund_success(
            refund, amount_minor=refunded_minor - posted_minor, is_opening=True
        )
