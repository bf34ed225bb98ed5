"""Refunds for merchants, and the refund of money that came too late."""

import uuid

from django.utils import timezone
from django.utils.translation import gettext as _

from common.api.envelope import Answer, failure, success
from common.ids import public_number, uuid7
from gateway.errors import RefundDeclined
from gateway.flows.data import RefundCreateData
from gateway.models import Payment, Refund
from gateway.representation import refund_body
from gateway.services.keyed_saga import run_saga_once
from idempotency.request import KeyedRequest
from sagas import engine
from sagas.models import SagaStatus
from sagas.state import SagaState


def create_refund(*, payment: Payment, amount_minor: int, reason: str, request: KeyedRequest) -> Answer:
    """Reserves the amount under the payment's lock, then has the channel refund it.

    Raises `PaymentNotRefundable`, `RefundExceedsPayment`.
    """

    def begin(refund_id: uuid.UUID) -> SagaState:
        return _start(payment=payment, refund_id=refund_id, amount_minor=amount_minor, reason=reason)

    return run_saga_once(request, begin=begin, answer_of=_refund_answer)


def start_refund(*, payment: Payment, refund_id: uuid.UUID, amount_minor: int, reason: str) -> SagaState:
    """Reserves the amount in the caller's transaction, who carries the saga on once that is committed.

    Raises `PaymentNotRefundable`, `RefundExceedsPayment`.
    """
    return _start(payment=payment, refund_id=refund_id, amount_minor=amount_minor, reason=reason)


def start_late_refund(*, payment: Payment, reason: str) -> None:
    """Gives back what was paid for a closed payment. Runs in the transaction that records the late money."""
    _start(
        payment=payment,
        refund_id=uuid7(),
        amount_minor=payment.refundable_minor,
        reason=reason,
        late_money=True,
    )


def _start(
    *, payment: Payment, refund_id: uuid.UUID, amount_minor: int, reason: str, late_money: bool = False
) -> SagaState:
    data = RefundCreateData(
        payment_id=payment.id,
        payment_no=payment.payment_no,
        environment=payment.environment,
        channel=payment.channel,
        channel_trade_no=payment.channel_trade_no,
        payment_amount_minor=payment.amount_minor,
        currency=payment.currency,
        refund_id=refund_id,
        refund_no=public_number("REF", timezone.now().date()),
        merchant_id=payment.merchant_id,
        amount_minor=amount_minor,
        reason=reason,
        metadata=payment.metadata,
        late_money=late_money,
    )
    return engine.start(
        "refund.create",
        version=1,
        saga_id=refund_id,
        business_id=data.refund_no,
        data=data.as_json(),
        leased=not late_money,
    )


def _refund_answer(refund_id: uuid.UUID, status: SagaStatus | None) -> Answer:
    refund = Refund.objects.select_related("payment").get(id=refund_id)
    if status == SagaStatus.COMPENSATED:
        return failure(
            RefundDeclined(
                {
                    "refund_no": refund.refund_no,
                    "payment_no": refund.payment.payment_no,
                    "status": refund.status,
                    "failure_code": refund.failure_code,
                    "failure_message": refund.failure_message,
                }
            )
        )
    if status == SagaStatus.COMPLETED:
        return success(refund_body(refund), message=_("Refund created"))
    return success(refund_body(refund), message=_("Accepted: the channel's answer is awaited"), status=202)
