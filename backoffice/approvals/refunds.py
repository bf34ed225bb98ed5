"""Refunds by one person, or by two where much money goes back.

The payment's lock puts wishes and refunds in a line. Consent, reservation and both lines of the audit are one
transaction: there is no consent without the refund's saga, and what becomes of a saga is not lost.
"""

import uuid

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from audit.action_types import StaffActionType
from backoffice.approvals import decisions
from backoffice.approvals.models import REFUND, Approval, ApprovalState
from backoffice.approvals.thresholds import exceeds_limit
from backoffice.services import refund_operations
from common import crash
from common.db import violates
from common.errors import NotPermitted, UnknownObject
from gateway.errors import (
    AmountNotSupported,
    PaymentDisputed,
    PaymentNotRefundable,
    RefundExceedsPayment,
)
from gateway.flows import refund_create
from gateway.models import Payment, Refund


def refund_or_request_approval(
    *, payment_id: uuid.UUID, refund_id: uuid.UUID, amount_minor: int, actor: str, reason: str
) -> Refund | Approval:
    """`refund_id` comes with the form, so that a form sent twice refunds, or asks, once.

    Raises `PaymentNotRefundable`, `PaymentDisputed`, `RefundExceedsPayment`, `NotPermitted` and `UnknownObject`.
    """
    with transaction.atomic(durable=True):
        payment = Payment.objects.select_for_update().get(id=payment_id)
        if (known := _sent_before(payment, refund_id)) is not None:
            return known
        # Together with the ones before: many small refunds are one large one.
        alone = amount_minor + refund_operations.refunded_without_approval_minor(payment=payment)
        if exceeds_limit(amount_minor=alone, currency=payment.currency):
            return _ask(payment, refund_id, amount_minor, actor, reason)
        saga = refund_operations.start_refund(
            payment=payment, refund_id=refund_id, amount_minor=amount_minor, actor=actor, reason=reason
        )
    return refund_operations.execute_refund(saga=saga)


def approve(*, approval_id: uuid.UUID, actor: str) -> Refund:
    """Raises `NotPermitted`: when it was decided already, by the same person, or too late. Raises
    `PaymentNotRefundable`, `PaymentDisputed` and `RefundExceedsPayment` where the payment has changed so that
    it no longer fits, and `AmountNotSupported`."""
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
    except (AmountNotSupported, PaymentDisputed, PaymentNotRefundable, RefundExceedsPayment):
        decisions.mark_stale(approval_id)
        raise
    return refund_operations.execute_refund(saga=saga)


def _sent_before(payment: Payment, refund_id: uuid.UUID) -> Refund | Approval | None:
    refund = Refund.objects.filter(id=refund_id).first()
    if refund is not None and refund.payment_id != payment.id:
        raise UnknownObject(_("There is no such object."))
    asked = Approval.objects.filter(saga_id=refund_id, operation=REFUND).first()
    if asked is not None and asked.business_id != payment.payment_no:
        raise UnknownObject(_("There is no such object."))
    return refund or asked


def _ask(payment: Payment, refund_id: uuid.UUID, amount_minor: int, actor: str, reason: str) -> Approval:
    """Refused at once is what would be refused later: nobody is asked for what cannot be done."""
    refund_create.require_refundable(payment=payment, amount_minor=amount_minor)
    decisions.expire_approvals()
    try:
        with transaction.atomic():
            approval = Approval.objects.create(
                operation=REFUND,
                saga_id=refund_id,
                business_id=payment.payment_no,
                seen_revision=0,
                amount_minor=amount_minor,
                currency=payment.currency,
                reason=reason,
                requested_by=actor,
            )
    except IntegrityError as error:
        if not violates(error, "approval_one_pending_per_payment"):
            raise
        raise NotPermitted(_("An approval is already pending for this object.")) from error
    decisions.record_in_audit_log(approval, StaffActionType.APPROVAL_REQUEST, actor, reason)
    return approval
