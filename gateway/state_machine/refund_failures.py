"""Refunds that fail: the amount is released, and may make room for what is in suspense."""

from django.db.models.functions import Now

from gateway.models import (
    CLOSED_UNPAID_STATUSES,
    OPEN_REFUND_STATUSES,
    Refund,
    RefundStatus,
    ReviewCode,
)
from gateway.review_reasons import ReviewMessage, ReviewReason
from gateway.state_machine.events import emit_refund_event
from gateway.state_machine.ledger_postings import post_failed_refund
from gateway.state_machine.refunds import add_to_totals
from gateway.state_machine.reviews import open_review
from gateway.state_machine.suspense import settle_suspense


def mark_refund_failed(*, refund: Refund, code: str, message: str) -> bool:
    """Releases the reserved amount. The caller holds the payment's lock."""
    moved = Refund.objects.filter(id=refund.id, status__in=OPEN_REFUND_STATUSES).update(
        status=RefundStatus.FAILED,
        failure_code=code,
        failure_message=message,
        settled_at=Now(),
        next_check_at=None,
        updated_at=Now(),
    )
    if moved:
        add_to_totals(refund, pending_minor=-refund.amount_minor)
        refund.refresh_from_db()
        post_failed_refund(refund)
        emit_refund_event("refund.failed", refund)
        review_failed_automatic_refund(refund, message or code)
        settle_suspense(payment=refund.payment)
    return bool(moved)


def review_failed_automatic_refund(refund: Refund, reason: str) -> None:
    """Opens a review for a failed refund of a late or duplicate payment: no merchant repeats it."""
    if refund.duplicate_attempt_id or refund.payment.status in CLOSED_UNPAID_STATUSES:
        open_review(
            payment=refund.payment,
            code=ReviewCode.REFUND_FAILED,
            subject=refund.refund_no,
            reason=ReviewReason(ReviewMessage.LATE_REFUND_FAILED, {"detail": reason}),
        )
