"""Refunds by staff: the refund is reserved in one transaction with its audit log entry, then the channel is called."""

import uuid

from django.db.models import Sum

from audit.action_types import ObjectType, StaffActionType
from audit.models import StaffAction
from audit.recording import recording
from gateway.flows import refund_create
from gateway.models import Payment, Refund, RefundOrigin, RefundStatus
from sagas import engine
from sagas.state import SagaState


def start_refund(
    *,
    payment: Payment,
    refund_id: uuid.UUID,
    amount_minor: int,
    actor: str,
    reason: str,
    approved_by: str = "",
) -> SagaState:
    """Runs in the caller's transaction, which holds the payment's lock.

    Raises one of `REFUND_REFUSALS`.
    """
    before = {
        "refunded_minor": payment.refunded_minor,
        "refund_pending_minor": payment.refund_pending_minor,
    }
    with recording(
        StaffActionType.REFUND,
        ObjectType.PAYMENT,
        payment.payment_no,
        actor=actor,
        reason=reason,
        before=before,
    ) as entry:
        saga = refund_create.start_refund_create(
            payment=payment,
            refund_id=refund_id,
            amount_minor=amount_minor,
            reason=reason[:255],
            origin=RefundOrigin.STAFF,
        )
        entry.after = {
            "refund_no": Refund.objects.values_list("refund_no", flat=True).get(id=refund_id),
            "amount_minor": amount_minor,
            "currency": payment.currency,
            "refund_pending_minor": before["refund_pending_minor"] + amount_minor,
            **({"approved_by": approved_by} if approved_by else {}),
        }
    return saga


def execute_refund(*, saga: SagaState) -> Refund:
    """Calls the channel, after the commit. If the process dies, a worker resumes the saga when its lease expires."""
    engine.advance_saga(saga)
    return Refund.objects.get(id=saga.id)


def refunded_without_approval_minor(*, payment: Payment) -> int:
    """The sum that staff refunded of the payment without a second person."""
    refunds = StaffAction.objects.filter(
        object_id=payment.payment_no, object_type=ObjectType.PAYMENT, action=StaffActionType.REFUND
    ).exclude(after__has_key="approved_by")
    numbers = list(refunds.values_list("after__refund_no", flat=True))
    not_failed = Refund.objects.filter(refund_no__in=numbers).exclude(status=RefundStatus.FAILED)
    total: int | None = not_failed.aggregate(total=Sum("amount_minor"))["total"]
    return total or 0
