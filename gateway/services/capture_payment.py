"""POST /payments/{payment_no}/capture: takes an authorized amount, or part of it."""

import uuid

from django.utils.translation import gettext as _

from common.api.envelope import Answer, accepted, failure, success
from gateway import limits, selectors
from gateway.errors import CaptureDeclined, CaptureExceedsPayment, PaymentNotCapturable, build_declined_error
from gateway.flows import payment_capture
from gateway.flows.running import refuse_second_operation
from gateway.models import Capture, CaptureStatus, Payment, PaymentStatus
from gateway.representation import payment_body, payment_path
from gateway.services import channel_queries
from gateway.services.saga_writes import SagaResult, run_claimed_saga
from idempotency.request import KeyedRequest
from idempotency.services.claim import Claim
from idempotency.services.claim_key import claim_key
from merchants.principal import Principal
from sagas.state import SagaState


def capture_payment(
    *,
    principal: Principal,
    payment: Payment,
    amount_minor: int | None,
    is_final: bool,
    request: KeyedRequest,
) -> Answer:
    """Captures `amount_minor`, or all that is left when it is None. Unless the capture `is_final`, the rest stays held
    for further captures. Queries the channel first when the payment is open and not known to be authorized.

    Raises `PaymentNotCapturable`, `CaptureExceedsPayment`, `AmountNotSupported`, `RepeatedCaptureNotSupported`,
    `OperationInProgress`, `ServiceUnavailable`.
    """
    if payment.is_open and payment.status != PaymentStatus.AUTHORIZED:
        channel_queries.query_payment(payment=payment)

    def begin(claim: Claim[SagaState | None]) -> SagaState:
        return start_capture(
            payment_id=payment.id,
            saga_id=claim.resource_id,
            amount_minor=amount_minor,
            is_final=is_final,
        )

    def build_answer(result: SagaResult) -> Answer:
        current = selectors.get_payment(principal, payment.payment_no)
        capture = Capture.objects.get(id=result.saga_id)
        if capture.status == CaptureStatus.SUCCEEDED:
            return success(payment_body(current), message=_("Captured"))
        if capture.status == CaptureStatus.FAILED:
            details = {
                "payment_no": current.payment_no,
                "failure_code": capture.failure_code,
                "failure_message": capture.failure_message,
            }
            return failure(build_declined_error(CaptureDeclined, details))
        return accepted(payment_body(current), location=payment_path(current))

    claim = claim_key(request, begin=begin)
    return run_claimed_saga(claim, build_answer=build_answer)


def start_capture(
    *, payment_id: uuid.UUID, saga_id: uuid.UUID, amount_minor: int | None, is_final: bool
) -> SagaState:
    """Starts payment.capture in the caller's transaction. A capture of all that is left is always final.

    Raises `PaymentNotCapturable`, `CaptureExceedsPayment`, `AmountNotSupported`, `RepeatedCaptureNotSupported`,
    `OperationInProgress`.
    """
    payment = selectors.lock_payment(payment_id)
    if payment.status != PaymentStatus.AUTHORIZED:
        raise PaymentNotCapturable({"payment_no": payment.payment_no, "status": payment.status})
    amount_minor = amount_minor or payment.capturable_minor
    if amount_minor > payment.capturable_minor:
        details = {
            "payment_no": payment.payment_no,
            "authorized_amount": payment.authorized_minor,
            "capturable_amount": payment.capturable_minor,
        }
        raise CaptureExceedsPayment(details)
    is_final = is_final or amount_minor == payment.capturable_minor
    limits.require_capture_allowed(
        channel=payment.channel,
        capturable_minor=payment.capturable_minor,
        amount_minor=amount_minor,
        currency=payment.currency,
        is_final=is_final,
        earlier_count=_count_captures(payment),
    )
    refuse_second_operation(payment)
    return payment_capture.start_payment_capture(
        payment=payment, saga_id=saga_id, amount_minor=amount_minor, is_final=is_final
    )


def _count_captures(payment: Payment) -> int:
    """0 without a query before the first capture."""
    if payment.captured_minor == 0:
        return 0
    return payment.captures.exclude(status=CaptureStatus.FAILED).count()
