"""Operations on a payment that needs review, with an approval when the amount is above the limit.

The lock of the payment serializes requests and operations. The operation, the approval and both audit log entries are
one transaction; a worker completes the refunds.
"""

import uuid
from collections.abc import Collection

from django.db import transaction
from django.utils.translation import gettext as _

from backoffice.approvals import decisions
from backoffice.approvals.limits import exceeds_limit
from backoffice.approvals.models import Approval, ApprovalState
from backoffice.services import late_payments, refund_operations
from backoffice.services.late_payments import PaymentReviewOperation
from common.admin import money_text
from common.errors import NotPermitted, OperationRefused
from gateway.admin.review_reasons import show_review_reason
from gateway.models import Payment
from gateway.selectors import sum_suspense
from gateway.services.charge_suspense import require_suspense
from gateway.services.payment_reviews import (
    PaymentChange,
    find_open_reviews,
    list_open_reviews,
    lock_payment_by_number,
    lock_payment_in_review,
)
from gateway.services.refund_late_payments import get_late_amount_minor, require_late_payment


def operate_or_request_approval(
    *,
    operation: PaymentReviewOperation,
    payment_no: str,
    actor: str,
    reason: str,
    reviews: Collection[str] = (),
) -> PaymentChange | Approval:
    """Performs the operation, or requests an approval when the amount is above the limit of `SECOND_PERSON_ABOVE`.
    `reviews` as in `late_payments.operate`.

    Raises `NotFound`, `OperationRefused` and `NotPermitted`.
    """
    late_payments.require_actor_and_reason(actor=actor, reason=reason)
    with transaction.atomic():
        payment = _lock_payment(operation, payment_no)
        at_stake = _find_amounts_at_stake(operation, payment)
        if any(exceeds_limit(amount_minor=amount, currency=currency) for currency, amount in at_stake):
            return _request_approval(operation, payment, actor, reason, reviews)
        return late_payments.operate(
            operation=operation, payment_no=payment_no, actor=actor, reason=reason, reviews=reviews
        )


def approve(*, approval_id: uuid.UUID, actor: str) -> PaymentChange:
    """Performs the approved operation.

    Raises `NotPermitted` when the request is decided or expired, `actor` is not a second person, or the payment has
    changed since the request.
    """
    try:
        with transaction.atomic():
            approval = decisions.lock_for_approval(approval_id, actor)
            operation = PaymentReviewOperation(approval.operation)
            _require_as_requested(approval, _lock_payment(operation, approval.business_id))
            done = late_payments.operate(
                operation=operation,
                payment_no=approval.business_id,
                actor=approval.requested_by,
                reason=approval.reason,
                reviews=approval.result.split() if operation is PaymentReviewOperation.RESOLVE else (),
                approved_by=actor,
            )
            decisions.record_decision(approval, ApprovalState.APPROVED, actor, reason=approval.reason)
    except NotPermitted:
        raise  # about the approval itself: it stays pending
    except OperationRefused as refused:
        decisions.mark_stale(approval_id)
        raise NotPermitted(str(refused)) from refused
    return done


def describe_effects(approval: Approval, payment: Payment) -> list[str]:
    """Returns what the operation will do, for the approver."""
    if approval.operation == PaymentReviewOperation.REFUND_LATE_PAYMENT:
        return [
            _("%(amount)s is refunded.") % {"amount": money_text(approval.amount_minor, approval.currency)}
        ]
    if approval.operation == PaymentReviewOperation.CHARGE_SUSPENSE:
        return [
            _("Everything of the payment that is in suspense is charged to the merchant."),
            *(money_text(amount_minor, currency) for currency, amount_minor in _read_sums(approval).items()),
        ]
    named = approval.result.split()
    return [
        _("Resolves without moving money: %(review)s") % {"review": show_review_reason(review)}
        for review in list_open_reviews(payment)
        if str(review.id) in named
    ]


def _lock_payment(operation: PaymentReviewOperation, payment_no: str) -> Payment:
    """Charging needs money in suspense, not an open review."""
    if operation is PaymentReviewOperation.CHARGE_SUSPENSE:
        return lock_payment_by_number(payment_no)
    return lock_payment_in_review(payment_no)


def _read_sums(approval: Approval) -> dict[str, int]:
    """The amounts in suspense at the time of the request, by currency."""
    pairs = (each.split(":") for each in approval.result.split())
    return {currency: int(amount_minor) for currency, amount_minor in pairs}


def _find_amounts_at_stake(operation: PaymentReviewOperation, payment: Payment) -> list[tuple[str, int]]:
    """Returns pairs of a currency and an amount. One above its limit is enough for an approval.

    Includes earlier refunds without approval, so that a large refund cannot be split into small ones. Resolving moves
    no money, but may hide the whole payment. Money in suspense may be more than the payment, in other currencies.
    """
    late = get_late_amount_minor(payment)
    if operation is PaymentReviewOperation.REFUND_LATE_PAYMENT:
        return [(payment.currency, late + refund_operations.refunded_without_approval_minor(payment=payment))]
    at_stake = [(payment.currency, max(payment.amount_minor, late))]
    if operation is PaymentReviewOperation.CHARGE_SUSPENSE:
        at_stake.extend(sum_suspense(payment).items())
    return at_stake


def _request_approval(
    operation: PaymentReviewOperation, payment: Payment, actor: str, reason: str, reviews: Collection[str]
) -> Approval:
    """Refuses at once an operation that would be refused after the approval."""
    currency = payment.currency
    if operation is PaymentReviewOperation.REFUND_LATE_PAYMENT:
        require_late_payment(payment)
        review_ids, amount_minor = "", get_late_amount_minor(payment)
    elif operation is PaymentReviewOperation.CHARGE_SUSPENSE:
        require_suspense(payment)
        sums = sum_suspense(payment)
        currency = payment.currency if payment.currency in sums else next(iter(sums))
        amount_minor = sums[currency]
        # What is charged in each currency.
        review_ids = " ".join(f"{code}:{sums[code]}" for code in sums)
    else:
        review_ids = " ".join(str(review.id) for review in find_open_reviews(payment, reviews))
        amount_minor = payment.amount_minor
    return decisions.request_approval(
        Approval(
            operation=operation,
            saga_id=payment.id,
            business_id=payment.payment_no,
            seen_revision=0,
            amount_minor=amount_minor,
            currency=currency,
            reason=reason,
            result=review_ids,
            requested_by=actor,
        )
    )


def _require_as_requested(approval: Approval, payment: Payment) -> None:
    """Refuses when the amount has changed, or when a request for all reviews finds new ones. The reviews that a request
    names are checked by the operation itself."""
    if approval.operation == PaymentReviewOperation.REFUND_LATE_PAYMENT:
        same = get_late_amount_minor(payment) == approval.amount_minor
    elif approval.operation == PaymentReviewOperation.CHARGE_SUSPENSE:
        same = sum_suspense(payment) == _read_sums(approval)
    else:
        same = bool(approval.result) or not list_open_reviews(payment)
    if not same:
        raise OperationRefused(_("The payment has changed. Request it again."))
