"""Refunds for merchants."""

import uuid

from django.utils.translation import gettext as _

from common.api.envelope import Answer, accepted, failure, success
from gateway.errors import RefundDeclined, declined
from gateway.flows import refund_create
from gateway.models import Payment, PaymentStatus, Refund, RefundStatus
from gateway.representation import refund_body, refund_path
from gateway.services import channel_queries
from gateway.services.keyed_saga import run_saga_once
from idempotency.request import KeyedRequest
from sagas.models import SagaStatus
from sagas.outcomes import Failure
from sagas.state import SagaState


def create_refund(*, payment: Payment, amount_minor: int, reason: str, request: KeyedRequest) -> Answer:
    """Reserves the amount under the payment's lock, then has the channel refund it. Asks first about a payment that
    is not paid as far as we know.

    Raises `PaymentNotRefundable`, `PaymentDisputed`, `RefundExceedsPayment`, `ServiceUnavailable`.
    """
    if payment.status != PaymentStatus.SUCCEEDED:
        channel_queries.query_payment(payment=payment)

    def begin(refund_id: uuid.UUID) -> SagaState:
        return refund_create.start(
            payment=payment, refund_id=refund_id, amount_minor=amount_minor, reason=reason
        )

    return run_saga_once(request, begin=begin, answer_of=_refund_answer)


def _refund_answer(refund_id: uuid.UUID, status: SagaStatus | None, _failure: Failure | None) -> Answer:
    refund = Refund.objects.select_related("payment").get(id=refund_id)
    by_hand = status == SagaStatus.FAILED
    if status == SagaStatus.COMPENSATED or (by_hand and refund.status == RefundStatus.FAILED):
        return failure(
            declined(
                RefundDeclined,
                {
                    "refund_no": refund.refund_no,
                    "payment_no": refund.payment.payment_no,
                    "status": refund.status,
                    "failure_code": refund.failure_code,
                    "failure_message": refund.failure_message,
                },
            )
        )
    if status == SagaStatus.COMPLETED or (by_hand and refund.status == RefundStatus.SUCCEEDED):
        return success(refund_body(refund), message=_("Refund created"))
    return accepted(refund_body(refund), location=refund_path(refund))
