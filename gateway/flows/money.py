"""Money that a channel says it took: what it counts as, and what becomes of it when nobody waits for it any more.

Runs in a transaction of the caller, who holds the payment's lock.
"""

import enum

import structlog
from django.conf import settings

from gateway import state_machine
from gateway.flows import refund_create
from gateway.models import Payment, PaymentAttempt, PaymentStatus, ReviewCode

log = structlog.get_logger(__name__)


class Arrival(enum.StrEnum):
    COUNTED = "counted"  # the payment succeeded by it
    KNOWN = "known"
    LATE = "late"  # nobody waited for it: it goes back, or a person decides


def arrived(*, payment: Payment, captured_minor: int) -> Arrival:
    """The payment's current attempt was paid."""
    if state_machine.mark_payment_succeeded(payment=payment, captured_minor=captured_minor):
        return Arrival.COUNTED
    payment.refresh_from_db()
    if payment.status == PaymentStatus.SUCCEEDED:
        return Arrival.KNOWN
    if not state_machine.record_late_payment(payment=payment, captured_minor=captured_minor):
        return Arrival.KNOWN
    reason = f"paid after the payment was {payment.status}"
    log.warning("payment.late_success", payment_no=payment.payment_no, status=payment.status)
    if goes_back():
        refund_create.start_late(payment=payment, reason=reason)
    else:
        state_machine.open_review(payment=payment, code=ReviewCode.LATE_PAYMENT, text=reason)
    return Arrival.LATE


def arrived_twice(
    *, payment: Payment, attempt: PaymentAttempt, taken_minor: int, channel_trade_no: str
) -> Arrival:
    """An attempt that was given up was paid after all. It never becomes the payment's: the customer may be paying at
    the next channel this very moment."""
    if not state_machine.record_duplicate_payment(
        payment=payment, attempt=attempt, taken_minor=taken_minor, channel_trade_no=channel_trade_no
    ):
        return Arrival.KNOWN
    reason = f"attempt {attempt.number} at {attempt.channel} was paid after it had been given up"
    log.warning("payment.paid_twice", payment_no=payment.payment_no, reference=attempt.reference)
    if goes_back():
        refund_create.start_late(payment=payment, surplus_of=attempt, reason=reason)
    else:
        state_machine.open_review(
            payment=payment, code=ReviewCode.DUPLICATE_PAYMENT, subject=attempt.reference, text=reason
        )
    return Arrival.LATE


def goes_back() -> bool:
    """What LATE_MONEY_POLICY says: late money is given back at once, or (False) left to a person."""
    return settings.LATE_MONEY_POLICY == "refund"
