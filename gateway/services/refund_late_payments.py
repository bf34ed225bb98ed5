"""Staff refund late and duplicate payments that were not refunded automatically.

`gateway/flows/received_payments.py` says what happens when such a payment arrives.
"""

from django.db.models import F
from django.utils.translation import gettext as _

from common.errors import OperationRefused
from gateway import state_machine
from gateway.flows.refund_create import start_late_refund_saga
from gateway.models import CLOSED_UNPAID_STATUSES, Payment, PaymentAttempt, ReviewCode
from gateway.services.payment_reviews import (
    PaymentChange,
    describe_payment,
    finish_review,
    lock_payment_in_review,
)

# The reviews that refunding a late payment resolves. A dispute, for instance, stays open.
LATE_PAYMENT_REVIEWS = (ReviewCode.LATE_PAYMENT, ReviewCode.DUPLICATE_PAYMENT, ReviewCode.REFUND_FAILED)


def refund_late_payments(*, payment_no: str, actor: str, reason: str) -> PaymentChange:
    """Starts refunds of the late payment and of all duplicate payments of a payment that needs review. A worker
    carries them out. Resolves the reviews about them, so that a second click finds nothing to refund.

    Runs in the caller's transaction, which writes the audit log. Raises `NotFound` and `OperationRefused`.
    """
    payment = lock_payment_in_review(payment_no)
    before = describe_payment(payment)
    require_late_payment(payment)
    refund_reason = payment.attention_reason[:255] or "late payment"
    duplicates = _find_refundable_duplicates(payment)
    if _get_refundable_late_minor(payment):
        start_late_refund_saga(payment=payment, reason=refund_reason)
    for attempt in duplicates:
        start_late_refund_saga(payment=payment, duplicate_attempt=attempt, reason=refund_reason)
    state_machine.resolve_reviews(payment=payment, codes=LATE_PAYMENT_REVIEWS, resolution=reason, actor=actor)
    return finish_review(payment, before)


def get_late_amount_minor(payment: Payment) -> int:
    """The amount that `refund_late_payments` would refund now."""
    duplicates = _find_refundable_duplicates(payment)
    duplicates_minor = sum(attempt.duplicate_refundable_minor for attempt in duplicates)
    return _get_refundable_late_minor(payment) + duplicates_minor


def require_late_payment(payment: Payment) -> None:
    """Raises `OperationRefused`."""
    if not get_late_amount_minor(payment):
        raise OperationRefused(_("%(no)s has no late payment to refund.") % {"no": payment.payment_no})


def _get_refundable_late_minor(payment: Payment) -> int:
    return payment.refundable_minor if payment.status in CLOSED_UNPAID_STATUSES else 0


def _find_refundable_duplicates(payment: Payment) -> list[PaymentAttempt]:
    booked_minor = (
        F("duplicate_refunded_minor") + F("duplicate_pending_minor") + F("duplicate_disputed_minor")
    )
    attempts = payment.attempts.filter(duplicate_minor__gt=booked_minor).order_by("number")
    return [attempt for attempt in attempts if attempt.duplicate_refundable_minor]
