"""Records money that a channel captured.

| money | what happens |
| --- | --- |
| captured for an open payment | the payment succeeds, or stays authorized after a partial capture |
| a late payment: captured after the payment was cancelled, expired or failed | recorded; refunded, or a review |
| a duplicate payment: captured for an earlier attempt | kept apart in `duplicate_minor`; refunded, or a review |
| a late or duplicate payment, all of it disputed by now or in suspense | a review |
| a total that contradicts the captures that we know | a review; the total is not recorded |

LATE_MONEY_POLICY decides about late and duplicate payments: "refund" refunds them at once, "park" opens a review, in
which staff decide (`gateway/services/refund_late_payments.py`). An open review of an adoption (ADR 53) counts as
"park".

The caller's transaction holds the payment's lock. Repeating a call changes nothing.
"""

import structlog
from django.conf import settings

from channels.base import PaymentCard, PaymentState
from gateway import state_machine
from gateway.flows.refund_create import start_late_refund_saga
from gateway.models import Payment, PaymentAttempt, PaymentStatus, ReviewCode, UpdateEffect
from gateway.review_reasons import ReviewMessage, ReviewReason, amount_value, state_value, status_value

log = structlog.get_logger(__name__)


def receive_payment(
    *, payment: Payment, captured_minor: int, card: PaymentCard | None = None
) -> UpdateEffect:
    """Records that the current attempt is paid: `captured_minor` was captured in all."""
    if payment.is_partly_captured and captured_minor < payment.captured_minor:
        return _review_contradicting_total(payment, captured_minor)
    if state_machine.mark_payment_succeeded(payment=payment, captured_minor=captured_minor, card=card):
        return UpdateEffect.APPLIED
    payment.refresh_from_db()
    if payment.status != PaymentStatus.SUCCEEDED:
        return _receive_late_payment(payment, captured_minor)
    if captured_minor > payment.captured_minor:
        return _review_contradicting_total(payment, captured_minor)
    return UpdateEffect.NOTHING_NEW


def receive_partial_capture(*, payment: Payment, captured_minor: int) -> UpdateEffect:
    """Records that `captured_minor` of the current attempt was captured in all, and that the channel holds the rest."""
    state_machine.mark_payment_authorized(payment=payment)
    recorded = state_machine.record_partial_capture(payment=payment, captured_minor=captured_minor)
    return UpdateEffect.APPLIED if recorded else UpdateEffect.NOTHING_NEW


def receive_duplicate_payment(
    *, payment: Payment, attempt: PaymentAttempt, captured_minor: int, channel_trade_no: str
) -> UpdateEffect:
    """Records that an earlier attempt is paid. The payment never succeeds by it: the customer may be paying the current
    attempt at this moment."""
    recorded = state_machine.record_duplicate_payment(
        payment=payment, attempt=attempt, captured_minor=captured_minor, channel_trade_no=channel_trade_no
    )
    if not recorded:
        return UpdateEffect.NOTHING_NEW
    log.warning("payment.paid_twice", payment_no=payment.payment_no, reference=attempt.reference)
    reason = ReviewReason(
        ReviewMessage.DUPLICATE_PAYMENT, {"number": attempt.number, "channel": attempt.channel}
    )
    if is_refund_automatic(payment) and attempt.duplicate_refundable_minor:
        start_late_refund_saga(payment=payment, duplicate_attempt=attempt, reason=str(reason))
    else:
        state_machine.open_review(
            payment=payment, code=ReviewCode.DUPLICATE_PAYMENT, subject=attempt.reference, reason=reason
        )
    return UpdateEffect.LATE_PAYMENT


def _receive_late_payment(payment: Payment, captured_minor: int) -> UpdateEffect:
    if not state_machine.record_late_payment(payment=payment, captured_minor=captured_minor):
        return UpdateEffect.NOTHING_NEW
    log.warning("payment.late_success", payment_no=payment.payment_no, status=payment.status)
    reason = ReviewReason(ReviewMessage.LATE_PAYMENT, {"status": status_value(PaymentStatus(payment.status))})
    if is_refund_automatic(payment) and payment.refundable_minor:
        start_late_refund_saga(payment=payment, reason=str(reason))
    else:
        state_machine.open_review(payment=payment, code=ReviewCode.LATE_PAYMENT, reason=reason)
    return UpdateEffect.LATE_PAYMENT


def is_refund_automatic(payment: Payment) -> bool:
    """Whether late and duplicate payments are refunded without staff. Never while a review says that the payment was
    adopted after a restore: the channel may have refunded it already, and its refunds are read after its payments
    (ADR 53)."""
    if settings.LATE_MONEY_POLICY != "refund":
        return False
    return not payment.reviews.filter(code=ReviewCode.ADOPTED, resolved_at=None).exists()


def review_ended_payment(*, payment: Payment, state: PaymentState) -> None:
    """Opens a review of a payment of which we know captures and whose end the channel reports: no rule can say which
    side is wrong."""
    values = {"state": state_value(state), "known": amount_value(payment.captured_minor, payment.currency)}
    reason = ReviewReason(ReviewMessage.ENDED_AFTER_CAPTURE, values)
    open_mismatch_review(payment=payment, subject=payment.reference, mismatch=reason)


def _review_contradicting_total(payment: Payment, captured_minor: int) -> UpdateEffect:
    values = {
        "reported": amount_value(captured_minor, payment.currency),
        "known": amount_value(payment.captured_minor, payment.currency),
    }
    reason = ReviewReason(ReviewMessage.CAPTURES_DIFFER, values)
    open_mismatch_review(payment=payment, subject=payment.reference, mismatch=reason)
    return UpdateEffect.NEEDS_REVIEW


def open_mismatch_review(*, payment: Payment, subject: str, mismatch: ReviewReason) -> None:
    """Opens a review of a difference between the channel and us. The caller does not apply the channel's update."""
    state_machine.open_review(payment=payment, code=ReviewCode.MISMATCH, subject=subject, reason=mismatch)
    log.error("channel.mismatch", payment_no=payment.payment_no, subject=subject, reason=str(mismatch))
