"""Records money that a channel captured for the payment's current attempt. The caller's transaction holds the payment's
lock."""

from channels.base import PaymentCard, PaymentState
from gateway import state_machine
from gateway.flows.late_payments import handle_late_payment
from gateway.models import Payment, PaymentStatus, ReviewCode, UpdateEffect
from gateway.review_reasons import ReviewMessage, ReviewReason, amount_value, state_value


def receive_partial_capture(*, payment: Payment, captured_minor: int) -> UpdateEffect:
    """`captured_minor` was captured in all, and the channel holds the rest. Repeating it changes nothing."""
    state_machine.mark_payment_authorized(payment=payment)
    recorded = state_machine.record_partial_capture(payment=payment, captured_minor=captured_minor)
    return UpdateEffect.APPLIED if recorded else UpdateEffect.NOTHING_NEW


def review_ended_payment(*, payment: Payment, state: PaymentState) -> None:
    """The channel reports the end of a payment of which we know captures: no rule can say which side is wrong."""
    reason = ReviewReason(
        ReviewMessage.ENDED_AFTER_CAPTURE,
        {"state": state_value(state), "known": amount_value(payment.captured_minor, payment.currency)},
    )
    _open_mismatch_review(payment, reason)


def _review_captures(payment: Payment, captured_minor: int) -> None:
    """The channel contradicts the captures that we know."""
    reason = ReviewReason(
        ReviewMessage.CAPTURES_DIFFER,
        {
            "reported": amount_value(captured_minor, payment.currency),
            "known": amount_value(payment.captured_minor, payment.currency),
        },
    )
    _open_mismatch_review(payment, reason)


def _open_mismatch_review(payment: Payment, reason: ReviewReason) -> None:
    state_machine.open_review(
        payment=payment, code=ReviewCode.MISMATCH, subject=payment.reference, reason=reason
    )


def receive_payment(
    *, payment: Payment, captured_minor: int, card: PaymentCard | None = None
) -> UpdateEffect:
    """The payment succeeds, or the money is a late payment. Repeating it changes nothing. A total below the captures
    that we know, or above those of a payment that has succeeded, opens a review."""
    if payment.is_partly_captured and captured_minor < payment.captured_minor:
        _review_captures(payment, captured_minor)
        return UpdateEffect.NEEDS_REVIEW
    if state_machine.mark_payment_succeeded(payment=payment, captured_minor=captured_minor, card=card):
        return UpdateEffect.APPLIED
    payment.refresh_from_db()
    if payment.status == PaymentStatus.SUCCEEDED:
        if captured_minor <= payment.captured_minor:
            return UpdateEffect.NOTHING_NEW
        _review_captures(payment, captured_minor)
        return UpdateEffect.NEEDS_REVIEW
    return handle_late_payment(payment=payment, captured_minor=captured_minor)
