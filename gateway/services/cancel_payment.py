"""POST /payments/{payment_no}/cancel: the channel decides, because it knows whether the customer has paid."""

import uuid

from django.utils.translation import gettext as _

from common.api.envelope import Answer, accepted, failure, success
from gateway import selectors
from gateway.errors import PaymentNotCancellable
from gateway.flows import payment_cancel
from gateway.flows.running import refuse_second_operation
from gateway.models import Payment, PaymentStatus
from gateway.representation import payment_body, payment_path
from gateway.services.saga_writes import SagaResult, run_claimed_saga
from idempotency.request import KeyedRequest
from idempotency.services.claim import Claim
from idempotency.services.claim_key import claim_key
from merchants.principal import Principal
from sagas import operations
from sagas import selectors as saga_selectors
from sagas.models import SagaStatus
from sagas.state import SagaState


def cancel_payment(
    *, principal: Principal, payment: Payment, request: KeyedRequest, reason: str = ""
) -> Answer:
    """Ends a payment that is not paid, or releases what is left of one that was captured in part: that one succeeds.

    Raises `PaymentNotCancellable`, `OperationInProgress`.
    """

    def begin(claim: Claim[SagaState | None]) -> SagaState | None:
        return start_cancel(
            payment_id=payment.id,
            saga_id=claim.resource_id,
            final_status=PaymentStatus.CANCELLED,
            reason=reason,
        )

    def build_answer(result: SagaResult) -> Answer:
        current = selectors.get_payment(principal, payment.payment_no)
        if current.status in (PaymentStatus.CANCELLED, PaymentStatus.EXPIRED):
            return success(payment_body(current), message=_("Cancelled"))
        if result.status == SagaStatus.COMPLETED and selectors.is_rest_released(current):
            return success(payment_body(current), message=_("The rest of the authorization was released."))
        # The saga that began the current attempt got the request, and has gone forward: the customer was faster.
        is_too_late = result.status is None and (
            saga_selectors.get_saga_status(selectors.get_creating_saga_id(current)) == SagaStatus.COMPLETED
        )
        is_refused = is_too_late or result.status in (SagaStatus.COMPENSATED, SagaStatus.FAILED)
        if current.is_open and not is_refused:
            return accepted(payment_body(current), location=payment_path(current))
        return failure(PaymentNotCancellable({"payment_no": current.payment_no, "status": current.status}))

    claim = claim_key(request, begin=begin)
    return run_claimed_saga(claim, build_answer=build_answer)


def start_cancel(
    *,
    payment_id: uuid.UUID,
    saga_id: uuid.UUID,
    final_status: PaymentStatus,
    reason: str,
    leased: bool = True,
) -> SagaState | None:
    """Starts payment.cancel in the caller's transaction. While the payment is still being created, requests the
    creating saga to compensate instead, and returns None.

    Raises `PaymentNotCancellable`, `OperationInProgress`.
    """
    payment = selectors.lock_payment(payment_id)
    if not payment.is_open or payment.status == PaymentStatus.PROCESSING:
        # The channel decides about a payment that the customer has submitted.
        raise PaymentNotCancellable({"payment_no": payment.payment_no, "status": payment.status})
    if operations.request_saga_cancellation(saga_id=selectors.get_creating_saga_id(payment)):
        return None
    refuse_second_operation(payment)
    return payment_cancel.start_payment_cancel(
        payment=payment, saga_id=saga_id, final_status=final_status, reason=reason, leased=leased
    )
