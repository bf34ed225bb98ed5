"""Posts opening entries for what happened before the ledger, or was not posted.

Each payment is locked and compared with the ledger, and what is missing is posted as its events would have been. So the
command may be repeated, and may run beside payments.
"""

import uuid

from django.db import connection, transaction

from gateway.models import (
    CLOSED_UNPAID_STATUSES,
    OPEN_REFUND_STATUSES,
    Payment,
    Refund,
    RefundStatus,
)
from gateway.state_machine import ledger_postings
from ledger.models import LedgerTransfer, TransferEvent
from ledger.selectors import sum_captured

BATCH_SIZE = 500

# Payments with money, or with a refund or dispute, of which something is not in the ledger.
_MISSING = """
SELECT id FROM payments AS payment
WHERE id > %(after)s AND (
    (captured_minor > 0 AND captured_minor > (
        SELECT coalesce(sum(entry.amount_minor), 0)
        FROM ledger_transfers AS transfer JOIN ledger_entries AS entry ON entry.transfer_id = transfer.id
        JOIN ledger_accounts AS account ON account.id = entry.account_id AND account.kind = 'merchant_payable'
        WHERE transfer.subject_id = payment.id))
    OR EXISTS (
        SELECT FROM payment_attempts AS attempt
        WHERE attempt.payment_id = payment.id AND attempt.surplus_minor > 0
          AND NOT EXISTS (SELECT FROM ledger_transfers WHERE subject_id = attempt.id))
    OR EXISTS (
        SELECT FROM refunds AS refund
        WHERE refund.payment_id = payment.id AND (refund.status <> 'failed' OR refund.late_refunded_minor > 0)
          AND NOT EXISTS (SELECT FROM ledger_transfers WHERE subject_id = refund.id))
    OR EXISTS (
        SELECT FROM disputes AS dispute
        WHERE dispute.payment_id = payment.id
          AND (dispute.status = 'lost' OR (dispute.status NOT IN ('won', 'closed') AND NOT dispute.is_inquiry))
          AND NOT EXISTS (SELECT FROM ledger_transfers WHERE subject_id = dispute.id)))
ORDER BY id LIMIT %(limit)s
"""


def open_ledger() -> int:
    """Returns how many payments got opening entries."""
    opened, after = 0, uuid.UUID(int=0)
    while found := _find_missing(after):
        for payment_id in found:
            _open_payment(payment_id)
        opened, after = opened + len(found), found[-1]
    return opened


def _find_missing(after: uuid.UUID) -> list[uuid.UUID]:
    with connection.cursor() as cursor:
        cursor.execute(_MISSING, {"after": after, "limit": BATCH_SIZE})
        return [payment_id for (payment_id,) in cursor.fetchall()]


@transaction.atomic
def _open_payment(payment_id: uuid.UUID) -> None:
    payment = Payment.objects.select_for_update().get(id=payment_id)
    posted = set(LedgerTransfer.objects.filter(payment_id=payment_id).values_list("subject_id", flat=True))
    _open_captured(payment)
    for attempt in payment.attempts.filter(surplus_minor__gt=0).exclude(id__in=posted):
        ledger_postings.post_duplicate_payment(payment=payment, attempt=attempt, is_opening=True)
    for refund in payment.refunds.exclude(id__in=posted).order_by("created_at", "id"):
        refund.payment = payment
        _open_refund(refund)
    for dispute in payment.disputes.exclude(id__in=posted):
        dispute.payment = payment
        ledger_postings.post_dispute_change(dispute=dispute, withdrawn_before_minor=0, is_opening=True)


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


def _open_refund(refund: Refund) -> None:
    if refund.status == RefundStatus.FAILED and refund.late_refunded_minor == 0:
        return
    ledger_postings.request_refund(refund, is_opening=True)
    if refund.status in OPEN_REFUND_STATUSES:
        return
    if refund.status == RefundStatus.SUCCEEDED:
        ledger_postings.post_refund(refund, is_opening=True)
        return
    ledger_postings.void_refund(refund, is_opening=True)
    ledger_postings.post_refund_after_all(refund, amount_minor=refund.late_refunded_minor, is_opening=True)
