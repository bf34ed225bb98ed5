"""Records money that a channel captured for the payment's current attempt. The caller's transaction holds the payment's
lock."""

from gateway import state_machine
from gateway.flows.late_payments import handle_late_payment
from gateway.models import Payment, PaymentStatus, UpdateEffect


def receive_payment(*, payment: Payment, captured_minor: int) -> UpdateEffect:
    """The payment succeeds, or the money is a late payment. Repeating it changes nothing."""
    if state_machine.mark_payment_succeeded(payment=payment, captured_minor=captured_minor):
        return UpdateEffect.APPLIED
    payment.refresh_from_db()
    if payment.status == PaymentStatus.SUCCEEDED:
        return UpdateEffect.NOTHING_NEW
    return handle_late_payment(payment=payment, captured_minor=captured_minor)
