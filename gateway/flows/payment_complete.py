"""payment.complete: charges, or with manual capture authorizes, what the customer has approved (ADR 33).

1. MarkProcessing (LOCAL)               the payment is processing    compensation: the payment fails
2. CompleteAtChannel (EXTERNAL, pivot)  the channel charges what its customer has approved
3. RecordCompletion (LOCAL)             records the channel's outcome

The saga's deadline is the end of the approval. An attempt is completed by one saga at most: its id follows from the
attempt, and so does the key of the call.
"""

import datetime as dt
import uuid

from django.utils import timezone

from channels.base import (
    ChannelPayment,
    CompletePayment,
    NotFoundAtChannel,
    NotYet,
    PaymentState,
    Reported,
)
from gateway import selectors, state_machine
from gateway.flows.channel_outcomes import (
    build_payment_result,
    convert_query_answer,
    convert_repeatable_call_answer,
    describe_payment_mismatch,
)
from gateway.flows.data import PaymentCompleteData, read_existing_payment
from gateway.flows.payment_resolutions import PAYMENT_RESOLUTIONS
from gateway.flows.received_payments import receive_payment
from gateway.flows.running import find_running_operation
from gateway.flows.start import start_flow
from gateway.models import CaptureMethod, Payment, PaymentStatus
from sagas import selectors as saga_selectors
from sagas.definitions import EXTERNAL, LOCAL, Call, Context, Definition, RetryPolicy, Step
from sagas.models import SagaStatus
from sagas.outcomes import CallNotFound, Failure, NeedsReview, Outcome, StepFailed, Success, Transient
from sagas.registry import register

APPROVAL_GONE = "approval_gone"
COMPLETABLE_STATUSES = (PaymentStatus.PENDING, PaymentStatus.PROCESSING)


def mark_processing(context: Context) -> None:
    data = PaymentCompleteData.read(context.data)
    payment = selectors.lock_payment(data.payment_id)
    if payment.status not in COMPLETABLE_STATUSES or payment.reference != data.reference:
        raise StepFailed("closed_meanwhile", f"the payment is {payment.status} already")
    state_machine.mark_payment_processing(payment=payment)


def close_payment(context: Context) -> None:
    """Compensation: the payment fails. One that was reported paid meanwhile stays paid."""
    data = PaymentCompleteData.read(context.data)
    failure = context.failure or Failure("unknown", "")
    state_machine.close_unpaid_payment(
        payment=selectors.lock_payment(data.payment_id),
        status=PaymentStatus.FAILED,
        code=failure.code,
        message=failure.message,
    )


def complete_at_channel(call: Call) -> Outcome:
    data = PaymentCompleteData.read(call.data)
    answer = data.get_channel().complete_payment(
        CompletePayment(
            key=call.key,
            payment=data.build_payment_ref(call.timeout_seconds),
            amount_minor=data.payment_amount_minor,
            currency=data.currency,
            manual_capture=data.manual_capture,
        )
    )
    if isinstance(answer, NotFoundAtChannel | NotYet):
        return Failure(APPROVAL_GONE, "the channel does not know the payment any more")
    return convert_repeatable_call_answer(
        answer, query=lambda: query_channel(call), convert=lambda payment: _convert_payment(data, payment)
    )


def query_channel(call: Call) -> Outcome:
    """After a lost answer. While nothing was charged, the call is repeated with its key."""
    data = PaymentCompleteData.read(call.data)
    answer = data.get_channel().find_payment(data.build_payment_ref(call.timeout_seconds))
    if not isinstance(answer, Reported):
        return convert_query_answer(answer)
    if answer.value.state in (PaymentState.OPEN, PaymentState.APPROVED):
        return CallNotFound()
    return _convert_payment(data, answer.value)


def _convert_payment(data: PaymentCompleteData, payment: ChannelPayment) -> Outcome:
    match payment.state:
        case PaymentState.DECLINED | PaymentState.CANCELLED:
            message = payment.failure_message or "the approval is gone"
            return Failure(payment.failure_code or APPROVAL_GONE, message)
        case PaymentState.OPEN | PaymentState.APPROVED:
            return Transient(f"the channel still has the payment as {payment.state}")
    mismatch = describe_payment_mismatch(
        payment,
        reference=data.reference,
        amount_minor=data.payment_amount_minor,
        currency=data.currency,
    )
    return NeedsReview(str(mismatch)) if mismatch else Success(build_payment_result(payment))


def record_completion(context: Context) -> None:
    """While the channel has the payment as processing, so have we: an update brings the end."""
    data = PaymentCompleteData.read(context.data)
    result = context.results["CompleteAtChannel"]
    payment = selectors.lock_payment(data.payment_id)
    match PaymentState(result["state"]):
        case PaymentState.PAID:
            receive_payment(payment=payment, captured_minor=result["captured_minor"])
        case PaymentState.AUTHORIZED:
            state_machine.mark_payment_authorized(payment=payment)


PAYMENT_COMPLETE = register(
    Definition(
        name="payment.complete",
        version=1,
        business_type="payment",
        deadline_seconds=3 * 3600,
        steps=(
            Step("MarkProcessing", mark_processing, kind=LOCAL, compensate=close_payment),
            Step(
                "CompleteAtChannel",
                complete_at_channel,
                kind=EXTERNAL,
                query=query_channel,
                pivot=True,
                retry=RetryPolicy(max_retries=8),
            ),
            Step("RecordCompletion", record_completion, kind=LOCAL),
        ),
        resolutions=PAYMENT_RESOLUTIONS,
    )
)


def complete_approved_payment(*, payment: Payment, complete_before: str) -> bool:
    """Starts payment.complete in the caller's transaction, which holds the payment's lock. A worker runs it. A payment
    whose approval has lapsed already fails.

    False when nothing is to be completed: the payment is closed or paid, its cancellation is running, or this attempt
    has had its saga. What we do not complete lapses at the channel. `complete_before` is in ISO 8601, or empty.
    """
    if payment.status not in COMPLETABLE_STATUSES or find_running_operation(payment, ("payment.cancel",)):
        return False
    saga_id = uuid.uuid5(payment.id, f"{PAYMENT_COMPLETE.name} {payment.reference}")
    earlier = saga_selectors.get_saga_status(saga_id)
    seconds_left = _get_seconds_left(complete_before)
    is_lapsed = seconds_left is not None and seconds_left <= 0
    if is_lapsed and earlier in (None, SagaStatus.COMPENSATED):  # nothing was charged, and nothing will be
        return state_machine.close_unpaid_payment(
            payment=payment,
            status=PaymentStatus.FAILED,
            code="approval_lapsed",
            message="the approval lapsed before it was completed",
        )
    if earlier is not None:
        return False
    state_machine.mark_payment_processing(payment=payment)
    data = PaymentCompleteData(
        **read_existing_payment(payment),
        manual_capture=payment.capture_method == CaptureMethod.MANUAL,
    )
    start_flow(
        PAYMENT_COMPLETE,
        saga_id=saga_id,
        business_id=payment.payment_no,
        data=data,
        leased=False,
        deadline_seconds=seconds_left,
        environment=payment.environment,
        merchant_id=payment.merchant_id,
    )
    return True


def _get_seconds_left(complete_before: str) -> float | None:
    if not complete_before:
        return None
    return (dt.datetime.fromisoformat(complete_before) - timezone.now()).total_seconds()
