"""Records money that a channel reports as taken. Late and duplicate payments are refunded, or need review.

Runs in a transaction of the caller, who holds the payment's lock.
"""

import enum

import structlog
from django.conf import settings

from gateway import state_machine
from gateway.flows import refund_create
from gateway.models import Payment, PaymentAttempt, PaymentStatus, ReviewCode

log = structlog.get_logger(__name__)


class Receipt(enum.Enum):
    COUNTED = enum.auto()  # the payment succeeded
    RECORDED_BEFORE = enum.auto()
    LATE = enum.auto()  # a late or duplicate payment: it is refunded, or needs review


def receive_payment(*, payment: Payment, captured_minor: int) -> Receipt:
    """Records that the payment's current attempt was paid."""
    if state_machine.mark_payment_succeeded(payment=payment, captured_minor=captured_minor):
        return Receipt.COUNTED
    payment.refresh_from_db()
    if payment.status == PaymentStatus.SUCCEEDED:
        return Receipt.RECORDED_BEFORE
    if not state_machine.record_late_payment(payment=payment, captured_minor=captured_minor):
        return Receipt.RECORDED_BEFORE
    reason = f"paid after the payment was {payment.status}"
    log.warning("payment.late_success", payment_no=payment.payment_no, status=payment.status)
    if refunds_late_payments():
        refund_create.start_late_refund_saga(payment=payment, reason=reason)
    else:
        state_machine.open_review(payment=payment, code=ReviewCode.LATE_PAYMENT, text=reason)
    return Receipt.LATE


def receive_duplicate_payment(
    *, payment: Payment, attempt: PaymentAttempt, taken_minor: int, channel_trade_no: str
) -> Receipt:
    """Records that an earlier attempt was paid. The payment never succeeds by it: the customer may be paying at the
    next channel at this moment."""
    if not state_machine.record_duplicate_payment(
        payment=payment, attempt=attempt, taken_minor=taken_minor, channel_trade_no=channel_trade_no
    ):
        return Receipt.RECORDED_BEFORE
    reason = f"attempt {attempt.number} at {attempt.channel} was paid after a later attempt had replaced it"
    log.warning("payment.paid_twice", payment_no=payment.payment_no, reference=attempt.reference)
    if refunds_late_payments():
        refund_create.start_late_refund_saga(payment=payment, surplus_of=attempt, reason=reason)
    else:
        state_machine.open_review(
            payment=payment, code=ReviewCode.DUPLICATE_PAYMENT, subject=attempt.reference, text=reason
        )
    return Receipt.LATE


def refunds_late_payments() -> bool:
    """Whether late and duplicate payments are refunded at once (LATE_MONEY_POLICY), or else need review."""
    return settings.LATE_MONEY_POLICY == "refund"
