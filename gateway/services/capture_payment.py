"""POST /payments/{payment_no}/capture: takes an authorized amount, or part of it."""

import uuid

from django.utils.translation import gettext as _

from common.api.envelope import Answer, accepted, failure, success
from gateway import limits, selectors
from gateway.errors import CaptureDeclined, CaptureExceedsPayment, PaymentNotCapturable, build_declined_error
from gateway.flows import payment_capture
from gateway.flows.running import refuse_second_operation
from gateway.models import Payment, PaymentStatus
from gateway.representation import payment_body, payment_path
from gateway.services import channel_queries
from gateway.services.saga_writes import SagaResult, run_claimed_saga
from idempotency.request import KeyedRequest
from idempotency.services import Claim, claim_key
from merchants.principal import Principal
from sagas.models import SagaStatus
from sagas.state import SagaState


def capture_payment(
    *, principal: Principal, payment: Payment, amount_minor: int | None, request: KeyedRequest
) -> Answer:
    """Captures `amount_minor`, or the whole authorized amount when it is None. Queries the channel first when the
    payment is open and not known to be authorized.

    Raises `PaymentNotCapturable`, `CaptureExceedsPayment`, `AmountNotSupported`, `OperationInProgress`,
    `ServiceUnavailable`.
    """
    if payment.is_open and payment.status != PaymentStatus.AUTHORIZED:
        channel_queries.query_payment(payment=payment)

    def begin(claim: Claim[SagaState | None]) -> SagaState:
        return start_capture(payment_id=payment.id, saga_id=claim.resource_id, amount_minor=amount_minor)

    def build_answer(result: SagaResult) -> Answer:
        current = selectors.get_payment(principal, payment.payment_no)
        if current.status == PaymentStatus.SUCCEEDED:
            return success(payment_body(current), message=_("Captured"))
        is_closed_by_hand = result.status == SagaStatus.FAILED and not current.is_open
        if result.status == SagaStatus.COMPENSATED or is_closed_by_hand:
            details = {"payment_no": current.payment_no}
            if result.failure is not None:
                details["failure_code"] = result.failure.code
                details["failure_message"] = result.failure.message
            return failure(build_declined_error(CaptureDeclined, details))
        return accepted(payment_body(current), location=payment_path(current))

    claim = claim_key(request, begin=begin)
    return run_claimed_saga(claim, build_answer=build_answer)


def start_capture(*, payment_id: uuid.UUID, saga_id: uuid.UUID, amount_minor: int | None) -> SagaState:
    """Starts payment.capture in the caller's transaction.

    Raises `PaymentNotCapturable`, `CaptureExceedsPayment`, `AmountNotSupported`, `OperationInProgress`.
    """
    payment = Payment.objects.select_for_update().get(id=payment_id)
    if payment.status != PaymentStatus.AUTHORIZED:
        raise PaymentNotCapturable({"payment_no": payment.payment_no, "status": payment.status})
    amount_minor = amount_minor or payment.amount_minor
    if amount_minor > payment.amount_minor:
        raise CaptureExceedsPayment(
            {"payment_no": payment.payment_no, "authorized_amount": payment.amount_minor}
        )
    limits.require_capture_allowed(
        channel=payment.channel,
        authorized_minor=payment.amount_minor,
        amount_minor=amount_minor,
        currency=payment.currency,
    )
    refuse_second_operation(payment)
    return payment_capture.start_payment_capture(payment=payment, saga_id=saga_id, amount_minor=amount_minor)
