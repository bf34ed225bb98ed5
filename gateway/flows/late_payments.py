"""Handles late and duplicate payments.

| money | what happens |
| --- | --- |
| a late payment: captured after the payment was cancelled, expired or failed | recorded; refunded, or a review |
| a duplicate payment: captured for an earlier attempt | kept apart in `duplicate_minor`; refunded, or a review |
| all of it disputed by now, or in suspense | a review: it is refunded when the bank gives it back |
| funds held for a closed payment or an earlier attempt | released, or a review |

LATE_MONEY_POLICY decides: "refund" refunds and releases at once, "park" opens a review, in which staff decide
(`gateway/services/refund_late_payments.py`). An open review of an adoption (ADR 53) counts as "park". The caller's
transaction holds the payment's lock. Repeating a call changes nothing. Held funds are handled where they are
reported (`gateway/services/channel_updates/payments.py`).
"""

import structlog
from django.conf import settings

from gateway import state_machine
from gateway.flows.refund_create import start_late_refund_saga
from gateway.models import Payment, PaymentAttempt, PaymentStatus, ReviewCode, UpdateEffect
from gateway.review_reasons import ReviewMessage, ReviewReason, status_value

log = structlog.get_logger(__name__)


def handle_late_payment(*, payment: Payment, captured_minor: int) -> UpdateEffect:
    if not state_machine.record_late_payment(payment=payment, captured_minor=captured_minor):
        return UpdateEffect.NOTHING_NEW
    status = status_value(PaymentStatus(payment.status))
    reason = ReviewReason(ReviewMessage.LATE_PAYMENT, {"status": status})
    log.warning("payment.late_success", payment_no=payment.payment_no, status=payment.status)
    if is_refund_automatic(payment) and payment.refundable_minor:
        start_late_refund_saga(payment=payment, reason=str(reason))
    else:
        state_machine.open_review(payment=payment, code=ReviewCode.LATE_PAYMENT, reason=reason)
    return UpdateEffect.LATE_PAYMENT


def handle_duplicate_payment(
    *, payment: Payment, attempt: PaymentAttempt, captured_minor: int, channel_trade_no: str
) -> UpdateEffect:
    """The payment never succeeds by an earlier attempt: the customer may be paying the current one at this moment."""
    recorded = state_machine.record_duplicate_payment(
        payment=payment, attempt=attempt, captured_minor=captured_minor, channel_trade_no=channel_trade_no
    )
    if not recorded:
        return UpdateEffect.NOTHING_NEW
    reason = ReviewReason(
        ReviewMessage.DUPLICATE_PAYMENT, {"number": attempt.number, "channel": attempt.channel}
    )
    log.warning("payment.paid_twice", payment_no=payment.payment_no, reference=attempt.reference)
    if is_refund_automatic(payment) and attempt.duplicate_refundable_minor:
        start_late_refund_saga(payment=payment, duplicate_attempt=attempt, reason=str(reason))
    else:
        state_machine.open_review(
            payment=payment, code=ReviewCode.DUPLICATE_PAYMENT, subject=attempt.reference, reason=reason
        )
    return UpdateEffect.LATE_PAYMENT


def is_refund_automatic(payment: Payment) -> bool:
    """Never while a review says that the payment was adopted after a restore: the channel may have refunded it already,
    and its refunds are read after its payments (ADR 53)."""
    if settings.LATE_MONEY_POLICY != "refund":
        return False
    return not payment.reviews.filter(code=ReviewCode.ADOPTED, resolved_at=None).exists()
