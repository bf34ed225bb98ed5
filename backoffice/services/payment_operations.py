"""Staff actions on a payment, except refunds.

The saga starts in one transaction with the audit log entry; then the channel is called. If the process dies in
between, a worker resumes the saga when its lease expires.
"""

import uuid

from audit.action_types import ObjectType, StaffActionType
from audit.recording import recording
from common.ids import uuid7
from gateway.models import Payment, PaymentStatus
from gateway.services import channel_queries
from gateway.services.cancel_payment import start_cancel
from gateway.services.capture_payment import start_capture
from sagas import engine
from sagas.state import SagaState

# The reason that merchants see. What staff typed stays in the audit log.
PUBLIC_REASON = "cancelled by staff"


def sync_payment(*, payment: Payment, actor: str, reason: str) -> None:
    """Queries the channel and applies its answer. Raises `ServiceUnavailable` when it does not answer."""
    with recording(
        StaffActionType.PAYMENT_SYNC,
        ObjectType.PAYMENT,
        payment.payment_no,
        actor=actor,
        reason=reason,
        before={"status": payment.status},
        durable=True,
    ):
        pass  # the query itself needs no transaction; its attempt is recorded before it is made
    channel_queries.query_payment_and_refunds(payment=payment)


def cancel_payment(*, payment_id: uuid.UUID, actor: str, reason: str) -> SagaState | None:
    """Cancels at the channel, which refuses when it was paid. Returns None while the payment is still being created:
    the saga that creates it then cancels it. Raises `PaymentNotCancellable`, `OperationInProgress`."""
    with recording(
        StaffActionType.PAYMENT_CANCEL, ObjectType.PAYMENT, actor=actor, reason=reason, durable=True
    ) as entry:
        payment = Payment.objects.select_for_update().get(id=payment_id)
        entry.object_id, entry.before = payment.payment_no, {"status": payment.status}
        saga = start_cancel(
            payment_id=payment_id,
            saga_id=uuid7(),
            final_status=PaymentStatus.CANCELLED,
            reason=PUBLIC_REASON,
        )
        entry.after = {"saga": str(saga.id if saga else payment_id)}
    return engine.advance_saga(saga) if saga is not None else None


def capture_payment(
    *, payment_id: uuid.UUID, amount_minor: int, is_final: bool, actor: str, reason: str
) -> SagaState:
    """Raises `PaymentNotCapturable`, `CaptureExceedsPayment`, `RepeatedCaptureNotSupported`, `OperationInProgress`."""
    with recording(
        StaffActionType.PAYMENT_CAPTURE, ObjectType.PAYMENT, actor=actor, reason=reason, durable=True
    ) as entry:
        payment = Payment.objects.select_for_update().get(id=payment_id)
        entry.object_id, entry.before = payment.payment_no, {"status": payment.status}
        saga = start_capture(
            payment_id=payment_id, saga_id=uuid7(), amount_minor=amount_minor, is_final=is_final
        )
        entry.after = {
            "saga": str(saga.id),
            "amount_minor": amount_minor,
            "currency": payment.currency,
            "is_final": is_final,
        }
    return engine.advance_saga(saga)
