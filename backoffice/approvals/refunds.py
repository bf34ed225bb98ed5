"""Refunds by staff, with an approval when the amount is above the limit.

The lock of the payment serializes requests and refunds. The approval, the reservation of the amount, the refund's saga
and both audit log entries are one transaction. So an approved refund always has a saga that completes it.
"""

import uuid

from django.db import transaction
from django.utils.translation import gettext as _

from backoffice.approvals import decisions
from backoffice.approvals.limits import exceeds_limit
from backoffice.approvals.models import REFUND, Approval, ApprovalState
from backoffice.services import refund_operations
from common import crash
from common.errors import UnknownObject
from gateway.flows import refund_checks
from gateway.models import Payment, Refund


def refund_or_request_approval(
    *, payment_id: uuid.UUID, refund_id: uuid.UUID, amount_minor: int, actor: str, reason: str
) -> Refund | Approval:
    """Refunds, or requests an approval. `refund_id` comes with the form: a form sent twice has one effect.

    Raises `NotPermitted`, `UnknownObject`, and one of `REFUND_REFUSALS`.
    """
    with transaction.atomic(durable=True):
        payment = Payment.objects.select_for_update().get(id=payment_id)
        if (known := _find_sent_before(payment, refund_id)) is not None:
            return known
        # Earlier refunds without approval count, so that a large refund cannot be split into small ones.
        total_minor = amount_minor + refund_operations.refunded_without_approval_minor(payment=payment)
        if exceeds_limit(amount_minor=total_minor, currency=payment.currency):
            return _request_approval(payment, refund_id, amount_minor, actor, reason)
        saga = refund_operations.start_refund(
            payment=payment, refund_id=refund_id, amount_minor=amount_minor, actor=actor, reason=reason
        )
    return refund_operations.execute_refund(saga=saga)


def approve(*, approval_id: uuid.UUID, actor: str) -> Refund:
    """Performs the approved refund.

    Raises `NotPermitted` when the request is decided or expired, or `actor` is not a second person;
    one of `REFUND_REFUSALS` when the payment has changed since the request.
    """
    try:
        with transaction.atomic(durable=True):
            approval = decisions.lock_for_approval(approval_id, actor)
            saga = refund_operations.start_refund(
                payment=Payment.objects.select_for_update().get(payment_no=approval.business_id),
                refund_id=approval.saga_id,
                amount_minor=approval.amount_minor,
                actor=approval.requested_by,
                reason=approval.reason,
                approved_by=actor,
            )
            decisions.record_decision(approval, ApprovalState.APPROVED, actor, reason=approval.reason)
            crash.reach("refund_approval.before_commit")
        crash.reach("refund_approval.after_commit")
    except refund_checks.REFUND_REFUSALS:
        decisions.mark_stale(approval_id)
        raise
    return refund_operations.execute_refund(saga=saga)


def _find_sent_before(payment: Payment, refund_id: uuid.UUID) -> Refund | Approval | None:
    refund = Refund.objects.filter(id=refund_id).first()
    if refund is not None and refund.payment_id != payment.id:
        raise UnknownObject(_("There is no such object."))
    approval = Approval.objects.filter(saga_id=refund_id, operation=REFUND).first()
    if approval is not None and approval.business_id != payment.payment_no:
        raise UnknownObject(_("There is no such object."))
    return refund or approval


def _request_approval(
    payment: Payment, refund_id: uuid.UUID, amount_minor: int, actor: str, reason: str
) -> Approval:
    """Refuses at once a refund that would be refused after the approval."""
    refund_checks.require_refund_allowed(payment=payment, amount_minor=amount_minor)
    return decisions.request_approval(
        Approval(
            operation=REFUND,
            saga_id=refund_id,
            business_id=payment.payment_no,
            seen_revision=0,
            amount_minor=amount_minor,
            currency=payment.currency,
            reason=reason,
            requested_by=actor,
        )
    )
