"""POST /payments/{payment_no}/increment-authorization: has the channel authorize a larger amount."""

import uuid

from django.utils.translation import gettext as _

from common.api.envelope import Answer, accepted, failure, success
from gateway import limits, selectors
from gateway.errors import (
    IncrementDeclined,
    IncrementTooSmall,
    PaymentNotIncrementable,
    build_declined_error,
)
from gateway.flows import payment_increment_authorization
from gateway.flows.running import refuse_second_operation
from gateway.models import AuthorizationIncrement, IncrementStatus, Payment, PaymentStatus
from gateway.representation import payment_body, payment_path
from gateway.services import channel_queries
from gateway.services.saga_writes import SagaResult, run_claimed_saga
from idempotency.request import KeyedRequest
from idempotency.services.claim import Claim
from idempotency.services.claim_key import claim_key
from merchants.principal import Principal
from sagas.state import SagaState


def increment_authorization(
    *, principal: Principal, payment: Payment, amount_minor: int, request: KeyedRequest
) -> Answer:
    """Authorizes `amount_minor` in all. A declined increment leaves the authorization as it was. Queries the channel
    first when the payment is open and not known to be authorized.

    Raises `PaymentNotIncrementable`, `IncrementNotSupported`, `IncrementTooSmall`, `AmountNotSupported`,
    `OperationInProgress`, `ServiceUnavailable`.
    """
    if payment.is_open and payment.status != PaymentStatus.AUTHORIZED:
        channel_queries.query_payment(payment=payment)

    def begin(claim: Claim[SagaState | None]) -> SagaState:
        return start_increment(payment_id=payment.id, saga_id=claim.resource_id, amount_minor=amount_minor)

    def build_answer(result: SagaResult) -> Answer:
        current = selectors.get_payment(principal, payment.payment_no)
        increment = AuthorizationIncrement.objects.get(id=result.saga_id)
        if increment.status == IncrementStatus.SUCCEEDED:
            return success(payment_body(current), message=_("Authorized amount incremented"))
        if increment.status == IncrementStatus.FAILED:
            details = {
                "payment_no": current.payment_no,
                "authorized_amount": current.authorized_minor,
                "failure_code": increment.failure_code,
                "failure_message": increment.failure_message,
            }
            return failure(build_declined_error(IncrementDeclined, details))
        return accepted(payment_body(current), location=payment_path(current))

    claim = claim_key(request, begin=begin)
    return run_claimed_saga(claim, build_answer=build_answer)


def start_increment(*, payment_id: uuid.UUID, saga_id: uuid.UUID, amount_minor: int) -> SagaState:
    """Starts payment.increment_authorization in the caller's transaction. Raises as `increment_authorization`."""
    payment = selectors.lock_payment(payment_id)
    if payment.status != PaymentStatus.AUTHORIZED or payment.captured_minor:
        details = {"payment_no": payment.payment_no, "status": payment.status}
        raise PaymentNotIncrementable({**details, "captured_amount": payment.captured_minor})
    if amount_minor <= payment.authorized_minor:
        raise IncrementTooSmall(
            {"payment_no": payment.payment_no, "authorized_amount": payment.authorized_minor}
        )
    limits.require_increment_allowed(
        channel=payment.channel,
        payment_method=payment.payment_method,
        amount_minor=amount_minor,
        currency=payment.currency,
        earlier_count=payment.authorization_increments.filter(reference=payment.reference).count(),
    )
    refuse_second_operation(payment)
    return payment_increment_authorization.start_authorization_increment(
        payment=payment, saga_id=saga_id, amount_minor=amount_minor
    )
