"""What staff do to a payment besides refunding it: the beginning and the audit are one transaction, then the channel is
called. Who dies in between leaves a saga that a worker takes up when the lease is over."""

import uuid

from django.db import transaction

from audit import services as audit
from audit.action_types import ObjectType, StaffActionType
from common.ids import uuid7
from gateway.models import Payment, PaymentStatus
from gateway.services import channel_queries, payments
from sagas import engine

# Merchants read this, never what staff wrote.
TOLD = "cancelled by staff"


def sync_payment(*, payment: Payment, actor: str, reason: str) -> None:
    """Takes over what the channel says. Raises `ServiceUnavailable` when it does not answer."""
    with transaction.atomic(durable=True):
        _record(payment, StaffActionType.PAYMENT_SYNC, actor, reason)
    channel_queries.query_payment_and_refunds(payment=payment)


def cancel_payment(*, payment_id: uuid.UUID, actor: str, reason: str) -> None:
    """The channel, which knows whether it was paid, decides. Raises `PaymentNotCancellable`, `OperationInProgress`."""
    with transaction.atomic(durable=True):
        payment = Payment.objects.select_for_update().get(id=payment_id)
        saga = payments.start_cancel(
            payment_id=payment_id, saga_id=uuid7(), final_status=PaymentStatus.CANCELLED, reason=TOLD
        )
        _record(
            payment,
            StaffActionType.PAYMENT_CANCEL,
            actor,
            reason,
            {"saga": str(saga.id if saga else payment_id)},
        )
    if saga is not None:
        engine.advance(saga)


def capture_payment(*, payment_id: uuid.UUID, amount_minor: int, actor: str, reason: str) -> None:
    """Raises `PaymentNotCapturable`, `CaptureExceedsPayment`, `OperationInProgress`."""
    with transaction.atomic(durable=True):
        payment = Payment.objects.select_for_update().get(id=payment_id)
        saga = payments.start_capture(payment_id=payment_id, saga_id=uuid7(), amount_minor=amount_minor)
        after: dict[str, str | int] = {
            "saga": str(saga.id),
            "amount_minor": amount_minor,
            "currency": payment.currency,
        }
        _record(payment, StaffActionType.PAYMENT_CAPTURE, actor, reason, after)
    engine.advance(saga)


def _record(
    payment: Payment, act: StaffActionType, actor: str, reason: str, after: dict[str, str | int] | None = None
) -> None:
    audit.record(
        actor=actor,
        action=act,
        object_type=ObjectType.PAYMENT,
        object_id=payment.payment_no,
        reason=reason,
        before={"status": payment.status},
        after=after,
    )
