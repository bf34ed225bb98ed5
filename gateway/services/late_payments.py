"""What a person does about money that was left to a person: give it back, or close the case."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.db.models import F
from django.utils.translation import gettext as _

from common.errors import NotFound, OperationRefused
from gateway import state_machine
from gateway.flows import refund_create
from gateway.models import (
    CLOSED_UNPAID_STATUSES,
    OPEN_REFUND_STATUSES,
    Payment,
    PaymentAttempt,
    PaymentReview,
    ReviewCode,
)
from sagas import selectors as saga_selectors


@dataclass(frozen=True, slots=True)
class Done:
    payment_no: str
    before: dict[str, Any]
    after: dict[str, Any]


# What giving late or duplicate money back resolves. A dispute, for instance, stays open.
GIVEN_BACK = (ReviewCode.LATE_PAYMENT, ReviewCode.DUPLICATE_PAYMENT, ReviewCode.REFUND_FAILED)


def give_back(*, payment_no: str, actor: str, reason: str) -> Done:
    """Refunds all late money of a payment that needs review: what came after its end, and what attempts took that had
    been given up. A worker carries the refunds out; the reviews about that money are resolved, so that a second
    click finds nothing. Other reviews stay open.

    In the caller's transaction, which keeps the audit. Raises `NotFound` and `OperationRefused`.
    """
    payment = payment_in_review(payment_no)
    before = _facts(payment)
    require_late_money(payment)
    attempts, own = _with_surplus(payment), _own_late_minor(payment)
    why = payment.attention_reason[:255] or "late money"
    if own:
        refund_create.start_late_refund_saga(payment=payment, reason=why)
    for attempt in attempts:
        refund_create.start_late_refund_saga(payment=payment, surplus_of=attempt, reason=why)
    state_machine.resolve_reviews(payment=payment, codes=GIVEN_BACK, resolution=reason, actor=actor)
    return _closed(payment, before)


def resolve(*, payment_no: str, actor: str, reason: str, reviews: Collection[str] = ()) -> Done:
    """Resolves the open reviews that `reviews` names by id or code, or all of them. What is still open, the payment or
    a refund of it, is asked about again.

    In the caller's transaction, which keeps the audit. Raises `NotFound` and `OperationRefused`.
    """
    payment = payment_in_review(payment_no)
    before = _facts(payment)
    found = named_reviews(payment, reviews)
    for each in found:
        state_machine.resolve_reviews(
            payment=payment, codes=(each.code,), subject=each.subject, resolution=reason, actor=actor
        )
    if any(each.code == ReviewCode.CANCEL_REFUSED for each in found):
        state_machine.reset_expiry_attempts(payment=payment)
    return _closed(payment, before)


def open_reviews(payment: Payment) -> list[PaymentReview]:
    """Oldest first."""
    return list(payment.reviews.filter(resolved_at=None).order_by("opened_at", "id"))


def named_reviews(payment: Payment, names: Collection[str]) -> list[PaymentReview]:
    """The open reviews with these ids or codes, or all of them without names. Raises `OperationRefused`."""
    found = open_reviews(payment)
    for name in names:
        if not any(name in (str(each.id), each.code) for each in found):
            raise OperationRefused(
                _("%(no)s has no open review %(review)s.") % {"no": payment.payment_no, "review": name}
            )
    return [each for each in found if not names or str(each.id) in names or each.code in names]


def late_minor(payment: Payment) -> int:
    """What `give_back` would refund now, in minor units."""
    return _own_late_minor(payment) + sum(
        attempt.surplus_refundable_minor for attempt in _with_surplus(payment)
    )


def require_late_money(payment: Payment) -> None:
    """Raises `OperationRefused`."""
    if not late_minor(payment):
        told = {"no": payment.payment_no}
        raise OperationRefused(_("There is no late money of %(no)s to give back.") % told)


def payment_in_review(payment_no: str) -> Payment:
    """Locked. Raises `NotFound` and `OperationRefused`."""
    payment = Payment.objects.select_for_update().filter(payment_no=payment_no).first()
    if payment is None:
        raise NotFound({"payment_no": payment_no})
    if not payment.needs_attention:
        raise OperationRefused(_("%(no)s needs nobody's attention.") % {"no": payment_no})
    return payment


def _own_late_minor(payment: Payment) -> int:
    return payment.refundable_minor if payment.status in CLOSED_UNPAID_STATUSES else 0


def _with_surplus(payment: Payment) -> list[PaymentAttempt]:
    given_back = F("surplus_refunded_minor") + F("surplus_pending_minor")
    return list(payment.attempts.filter(surplus_minor__gt=given_back).order_by("number"))


def _closed(payment: Payment, before: dict[str, Any]) -> Done:
    state_machine.schedule_payment_query(payment=payment)
    unwatched = payment.refunds.filter(status__in=OPEN_REFUND_STATUSES, next_check_at=None)
    for refund in unwatched.select_for_update():
        if not saga_selectors.is_active(refund.id):
            state_machine.schedule_refund_query(refund=refund)
    if not open_reviews(payment):
        state_machine.clear_needs_review(payment=payment)
    payment.refresh_from_db()
    return Done(payment.payment_no, before, _facts(payment))


def _facts(payment: Payment) -> dict[str, Any]:
    return {
        "status": payment.status,
        "captured_minor": payment.captured_minor,
        "refunded_minor": payment.refunded_minor,
        "refund_pending_minor": payment.refund_pending_minor,
        "surplus_left_minor": sum(attempt.surplus_refundable_minor for attempt in _with_surplus(payment)),
        "needs_attention": payment.needs_attention,
        "attention_reason": payment.attention_reason,
        "open_reviews": ", ".join(str(review) for review in open_reviews(payment)),
    }
