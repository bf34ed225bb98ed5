"""Operations on a payment that needs review by one person, or by two where much money hangs on them.

The payment's lock puts requests and operations in a line. The operation, the approval and both lines of the audit
are one transaction; a worker carries out the refunds.
"""

import uuid
from collections.abc import Collection

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from audit.action_types import StaffActionType
from backoffice.approvals import decisions
from backoffice.approvals.models import Approval, ApprovalState
from backoffice.approvals.thresholds import exceeds_limit
from backoffice.services import late_payments, refund_operations
from backoffice.services.late_payments import Operation
from common.admin import money_text
from common.db import violates
from common.errors import NotPermitted, OperationRefused
from gateway.models import Payment
from gateway.services.late_payments import get_late_amount_minor, require_late_payment
from gateway.services.payment_reviews import (
    PaymentChange,
    find_open_reviews,
    list_open_reviews,
    lock_payment_in_review,
)

ONE_PENDING = ("approval_one_pending_per_payment", "approval_one_pending_per_saga")


def operate_or_request_approval(
    *, operation: Operation, payment_no: str, actor: str, reason: str, reviews: Collection[str] = ()
) -> PaymentChange | Approval:
    """Performs the operation, or requests an approval when the amount is above the limit of `SECOND_PERSON_ABOVE`.
    `reviews` as in `late_payments.operate`.

    Raises `NotFound`, `OperationRefused` and `NotPermitted`.
    """
    late_payments.require_actor_and_reason(actor=actor, reason=reason)
    with transaction.atomic():
        payment = lock_payment_in_review(payment_no)
        if exceeds_limit(amount_minor=_at_stake_minor(operation, payment), currency=payment.currency):
            return _ask(operation, payment, actor, reason, reviews)
        return late_payments.operate(
            operation=operation, payment_no=payment_no, actor=actor, reason=reason, reviews=reviews
        )


def approve(*, approval_id: uuid.UUID, actor: str) -> PaymentChange:
    """Raises `NotPermitted`: when it was decided already, by the same person, too late, or the payment has changed."""
    try:
        with transaction.atomic():
            approval = decisions.lock_for_approval(approval_id, actor)
            _require_as_requested(approval, lock_payment_in_review(approval.business_id))
            done = late_payments.operate(
                operation=Operation(approval.operation),
                payment_no=approval.business_id,
                actor=approval.requested_by,
                reason=approval.reason,
                reviews=approval.result.split(),
                approved_by=actor,
            )
            decisions.record_decision(approval, ApprovalState.APPROVED, actor, reason=approval.reason)
    except NotPermitted:
        raise  # about the approval itself: it stays pending
    except OperationRefused as refused:
        decisions.mark_stale(approval_id)
        raise NotPermitted(str(refused)) from refused
    return done


def effects(approval: Approval, payment: Payment) -> list[str]:
    """What an approval will do, for the approver."""
    if approval.operation == Operation.GIVE_BACK:
        return [
            _("%(amount)s is refunded.") % {"amount": money_text(approval.amount_minor, approval.currency)}
        ]
    named = approval.result.split()
    return [
        _("Resolves without moving money: %(review)s") % {"review": review.text}
        for review in list_open_reviews(payment)
        if str(review.id) in named
    ]


def _at_stake_minor(operation: Operation, payment: Payment) -> int:
    """Together with what staff refunded of it alone before: many small refunds are one large one. Who closes a case
    moves nothing, and may hide the whole payment."""
    late = get_late_amount_minor(payment)
    if operation is Operation.GIVE_BACK:
        return late + refund_operations.refunded_without_approval_minor(payment=payment)
    return max(payment.amount_minor, late)


def _ask(
    operation: Operation, payment: Payment, actor: str, reason: str, reviews: Collection[str]
) -> Approval:
    """Refused at once is what would be refused later: nobody is asked for what cannot be done."""
    named = ""
    if operation is Operation.GIVE_BACK:
        require_late_payment(payment)
    else:
        named = " ".join(str(review.id) for review in find_open_reviews(payment, reviews))
    decisions.expire_approvals()
    amount_minor = (
        get_late_amount_minor(payment) if operation is Operation.GIVE_BACK else payment.amount_minor
    )
    try:
        with transaction.atomic():
            approval = Approval.objects.create(
                operation=operation,
                saga_id=payment.id,
                business_id=payment.payment_no,
                seen_revision=0,
                amount_minor=amount_minor,
                currency=payment.currency,
                reason=reason,
                result=named,
                requested_by=actor,
            )
    except IntegrityError as error:
        if not any(violates(error, name) for name in ONE_PENDING):
            raise
        raise NotPermitted(_("An approval is already pending for this object.")) from error
    decisions.record_in_audit_log(approval, StaffActionType.APPROVAL_REQUEST, actor, reason)
    return approval


def _require_as_requested(approval: Approval, payment: Payment) -> None:
    """More money, or another review, is not what was approved. Reviews that were named are looked for later."""
    if approval.operation == Operation.GIVE_BACK:
        same = get_late_amount_minor(payment) == approval.amount_minor
    else:
        same = bool(approval.result) or not list_open_reviews(payment)
    if not same:
        raise OperationRefused(_("The payment has changed. Request it again."))
