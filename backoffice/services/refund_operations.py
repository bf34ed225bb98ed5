"""Refunds by staff: the reservation and the audit are one transaction, then the channel is called."""

import uuid

from django.db.models import Sum

from audit import services as audit
from audit.action_types import ObjectType, StaffActionType
from audit.models import StaffAction
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
    """In the caller's transaction, which holds the payment's lock.

    Raises `PaymentNotRefundable`, `PaymentDisputed` and `RefundExceedsPayment`.
    """
    saga = refund_create.start(
        payment=payment,
        refund_id=refund_id,
        amount_minor=amount_minor,
        reason=reason[:255],
        origin=RefundOrigin.STAFF,
    )
    reserved = Refund.objects.get(id=refund_id)
    audit.record(
        actor=actor,
        action=StaffActionType.REFUND,
        object_type=ObjectType.PAYMENT,
        object_id=payment.payment_no,
        reason=reason,
        before={
            "refunded_minor": payment.refunded_minor,
            "refund_pending_minor": payment.refund_pending_minor,
        },
        after={
            "refund_no": reserved.refund_no,
            "amount_minor": amount_minor,
            "currency": payment.currency,
            "refund_pending_minor": payment.refund_pending_minor + amount_minor,
            **({"approved_by": approved_by} if approved_by else {}),
        },
    )
    return saga


def execute_refund(*, saga: SagaState) -> Refund:
    """After the commit. Who dies before or in it leaves a saga that a worker takes up when the lease is over."""
    engine.advance(saga)
    return Refund.objects.get(id=saga.id)


def refunded_without_approval_minor(*, payment: Payment) -> int:
    """What staff refunded of it without a second person."""
    done = StaffAction.objects.filter(
        object_id=payment.payment_no, object_type=ObjectType.PAYMENT, action=StaffActionType.REFUND
    ).exclude(after__has_key="approved_by")
    numbers = list(done.values_list("after__refund_no", flat=True))
    kept = Refund.objects.filter(refund_no__in=numbers).exclude(status=RefundStatus.FAILED)
    total: int | None = kept.aggregate(total=Sum("amount_minor"))["total"]
    return total or 0
