"""The state machine of refunds, up to their first outcome. A refund reserves its amount on the payment, or on the
attempt whose duplicate payment it gives back."""

import uuid
from datetime import timedelta

from django.db.models import F
from django.db.models.functions import Now

from common.transitions import sources_of
from gateway.models import (
    CLOSED_UNPAID_STATUSES,
    OPEN_REFUND_STATUSES,
    Payment,
    PaymentAttempt,
    Refund,
    RefundStatus,
    ReviewCode,
)
from gateway.polling_intervals import FIRST_POLL_SECONDS
from gateway.state_machine.events import emit_refund_event
from gateway.state_machine.reviews import open_review
from gateway.state_machine.transitions import REFUND_TRANSITIONS


def record_channel_refund(*, refund: Refund) -> None:
    """Records a refund that was made at the channel and reserves its amount. The caller holds the payment's lock and
    has checked that the amount fits."""
    refund.save(force_insert=True)
    reserve_refund(
        payment_id=refund.payment_id, attempt_id=refund.surplus_of_id, amount_minor=refund.amount_minor
    )


def reserve_refund(*, payment_id: uuid.UUID, attempt_id: uuid.UUID | None, amount_minor: int) -> None:
    """Reserves the amount of a new refund on the attempt whose duplicate payment it gives back, or on the payment when
    `attempt_id` is None. The caller holds the payment's lock and has checked that the amount fits."""
    if attempt_id is not None:
        PaymentAttempt.objects.filter(id=attempt_id).update(
            surplus_pending_minor=F("surplus_pending_minor") + amount_minor
        )
    else:
        Payment.objects.filter(id=payment_id).update(
            refund_pending_minor=F("refund_pending_minor") + amount_minor, updated_at=Now()
        )


def mark_refund_processing(*, refund: Refund, channel_refund_no: str) -> bool:
    """The channel has accepted the refund and will report its outcome later."""
    moved = Refund.objects.filter(
        id=refund.id, status__in=sources_of(REFUND_TRANSITIONS, RefundStatus.PROCESSING)
    ).update(
        status=RefundStatus.PROCESSING,
        channel_refund_no=channel_refund_no,
        next_check_at=Now() + timedelta(seconds=FIRST_POLL_SECONDS),
        updated_at=Now(),
    )
    return bool(moved)


def mark_refund_succeeded(*, refund: Refund, channel_refund_no: str) -> bool:
    """Turns the reserved amount into refunded money. The caller holds the payment's lock."""
    moved = Refund.objects.filter(id=refund.id, status__in=OPEN_REFUND_STATUSES).update(
        status=RefundStatus.SUCCEEDED,
        channel_refund_no=channel_refund_no,
        settled_at=Now(),
        next_check_at=None,
        updated_at=Now(),
    )
    if moved:
        _end_reservation(refund, refunded_minor=refund.amount_minor)
        emit_refund_event("refund.succeeded", refund)
    return bool(moved)


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
        _end_reservation(refund, refunded_minor=0)
        emit_refund_event("refund.failed", refund)
        review_failed_automatic_refund(refund, message or code)
    return bool(moved)


def review_failed_automatic_refund(refund: Refund, reason: str) -> None:
    """Opens a review for a failed refund of a late or duplicate payment: no merchant repeats it."""
    if refund.surplus_of_id or refund.payment.status in CLOSED_UNPAID_STATUSES:
        open_review(
            payment=refund.payment,
            code=ReviewCode.REFUND_FAILED,
            subject=refund.refund_no,
            text=f"late payment could not be refunded: {reason}",
        )


def schedule_refund_query(*, refund: Refund) -> bool:
    """Makes the poller query an open refund now, and then as often as a new one."""
    scheduled = Refund.objects.filter(id=refund.id, status__in=OPEN_REFUND_STATUSES).update(
        next_check_at=Now(), check_count=0, updated_at=Now()
    )
    return bool(scheduled)


def _end_reservation(refund: Refund, *, refunded_minor: int) -> None:
    if refund.surplus_of_id is not None:
        PaymentAttempt.objects.filter(id=refund.surplus_of_id).update(
            surplus_pending_minor=F("surplus_pending_minor") - refund.amount_minor,
            surplus_refunded_minor=F("surplus_refunded_minor") + refunded_minor,
        )
    else:
        Payment.objects.filter(id=refund.payment_id).update(
            refund_pending_minor=F("refund_pending_minor") - refund.amount_minor,
            refunded_minor=F("refunded_minor") + refunded_minor,
            updated_at=Now(),
        )
