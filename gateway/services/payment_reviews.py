"""Staff resolve the open reviews of a payment."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from common.errors import NotFound, OperationRefused
from gateway import selectors, state_machine
from gateway.models import OPEN_REFUND_STATUSES, Payment, PaymentReview, ReviewCode
from sagas import selectors as saga_selectors

# These stay open while money is in suspense: they are what reminds staff of it.
_SUSPENSE_REVIEWS = (ReviewCode.DISPUTE_EXCESS, ReviewCode.CHANNEL_REFUND, ReviewCode.REFUND_OUTCOME)


@dataclass(frozen=True, slots=True)
class PaymentChange:
    """A payment before and after a staff action, for the audit log."""

    payment_no: str
    before: dict[str, Any]
    after: dict[str, Any]


def resolve_open_reviews(
    *, payment_no: str, actor: str, reason: str, reviews: Collection[str] = ()
) -> PaymentChange:
    """Resolves the open reviews that `reviews` names by id or code; without names all of them. The payment and its
    refunds that are still open are polled again.

    Runs in the caller's transaction, which writes the audit log. Raises `NotFound` and `OperationRefused`.
    """
    payment = lock_payment_in_review(payment_no)
    before = describe_payment(payment)
    resolved = find_open_reviews(payment, reviews)
    if any(review.code in _SUSPENSE_REVIEWS for review in resolved) and selectors.has_suspense(payment):
        raise OperationRefused(
            _("%(no)s has money in suspense: charge it to the merchant, or wait until it fits or comes back.")
            % {"no": payment_no}
        )
    for review in resolved:
        state_machine.resolve_reviews(
            payment=payment, codes=(review.code,), subject=review.subject, resolution=reason, actor=actor
        )
    if any(review.code == ReviewCode.CANCEL_REFUSED for review in resolved):
        state_machine.reset_expiry_attempts(payment=payment)
    return finish_review(payment, before)


def list_open_reviews(payment: Payment) -> list[PaymentReview]:
    """Oldest first."""
    return list(payment.reviews.filter(resolved_at=None).order_by("opened_at", "id"))


def find_open_reviews(payment: Payment, names: Collection[str]) -> list[PaymentReview]:
    """The open reviews with these ids or codes; without names all of them. Raises `OperationRefused`."""
    reviews = list_open_reviews(payment)
    for name in names:
        if not any(name in (str(review.id), review.code) for review in reviews):
            raise OperationRefused(
                _("%(no)s has no open review %(review)s.") % {"no": payment.payment_no, "review": name}
            )
    return [review for review in reviews if not names or str(review.id) in names or review.code in names]


def lock_payment_in_review(payment_no: str) -> Payment:
    """Raises `NotFound` and `OperationRefused`."""
    payment = lock_payment_by_number(payment_no)
    if not payment.needs_attention:
        raise OperationRefused(_("%(no)s does not need review.") % {"no": payment_no})
    return payment


def lock_payment_by_number(payment_no: str) -> Payment:
    """Raises `NotFound`."""
    payment = Payment.objects.select_for_update().filter(payment_no=payment_no).first()
    if payment is None:
        raise NotFound({"payment_no": payment_no})
    return payment


def finish_review(payment: Payment, before: dict[str, Any]) -> PaymentChange:
    """Polls again what is still open, and clears the payment's flag when no review is open."""
    state_machine.schedule_payment_query(payment=payment)
    unpolled = payment.refunds.filter(status__in=OPEN_REFUND_STATUSES, next_check_at=None)
    for refund in unpolled.select_for_update():
        if not saga_selectors.is_saga_active(refund.id):
            state_machine.schedule_refund_query(refund=refund)
    if not list_open_reviews(payment):
        state_machine.clear_needs_review(payment=payment)
    payment.refresh_from_db()
    return PaymentChange(payment.payment_no, before, describe_payment(payment))


def describe_payment(payment: Payment) -> dict[str, Any]:
    """The values of the payment that the audit log keeps."""
    return {
        "status": payment.status,
        "captured_minor": payment.captured_minor,
        "refunded_minor": payment.refunded_minor,
        "refund_pending_minor": payment.refund_pending_minor,
        "disputed_minor": payment.disputed_minor,
        "suspense_minor": payment.suspense_minor,
        "duplicate_left_minor": sum(attempt.duplicate_refundable_minor for attempt in payment.attempts.all()),
        "needs_attention": payment.needs_attention,
        "attention_reason": payment.attention_reason,
        "open_reviews": ", ".join(str(review) for review in list_open_reviews(payment)),
    }
