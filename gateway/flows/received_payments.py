"""Records money that a channel captured for the payment's current attempt. The caller's transaction holds the payment's
lock."""

from channels.base import PaymentCard
from gateway import state_machine
from gateway.flows.late_payments import handle_late_payment
from gateway.models import Payment, PaymentStatus, ReviewCode, UpdateEffect


def receive_partial_capture(*, payment: Payment, captured_minor: int) -> UpdateEffect:
    """`captured_minor` was captured in all, and the channel holds the rest. Repeating it changes nothing."""
    state_machine.mark_payment_authorized(payment=payment)
    recorded = state_machine.record_partial_capture(payment=payment, captured_minor=captured_minor)
    return UpdateEffect.APPLIED if recorded else UpdateEffect.NOTHING_NEW


def review_contradicted_captures(*, payment: Payment, reported: str) -> None:
    """The channel contradicts the captures that we know: no rule can say which side is wrong."""
    state_machine.open_review(
        payment=payment,
        code=ReviewCode.MISMATCH,
        subject=payment.reference,
        text=f"the channel reports {reported}, we know of {payment.captured_minor} captured",
    )


def receive_payment(
    *, payment: Payment, captured_minor: int, card: PaymentCard | None = None
) -> UpdateEffect:
    """The payment succeeds, or the money is a late payment. Repeating it changes nothing. A total below the captures
    that we know, or above those of a payment that has succeeded, opens a review."""
    if payment.is_partly_captured and captured_minor < payment.captured_minor:
        review_contradicted_captures(payment=payment, reported=f"{captured_minor} captured")
        return UpdateEffect.NEEDS_REVIEW
    if state_machine.mark_payment_succeeded(payment=payment, captured_minor=captured_minor, card=card):
        return UpdateEffect.APPLIED
    payment.refresh_from_db()
    if payment.status == PaymentStatus.SUCCEEDED:
        if captured_minor <= payment.captured_minor:
            return UpdateEffect.NOTHING_NEW
        review_contradicted_captures(payment=payment, reported=f"{captured_minor} captured")
        return UpdateEffect.NEEDS_REVIEW
    return handle_late_payment(payment=payment, captured_minor=captured_minor)
