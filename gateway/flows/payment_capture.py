"""payment.capture: takes an authorized amount, or part of it; the rest is released.

1. CaptureAtChannel (EXTERNAL, pivot)
2. RecordCapture (LOCAL)
"""

import uuid

from channels.base import CapturePayment, ChannelPayment, Declined, NewKeyRequired, PaymentState, Reported
from gateway.flows.channel_outcomes import (
    build_payment_result,
    convert_call_answer,
    convert_query_answer,
    count_call_before_query,
    describe_payment_mismatch,
)
from gateway.flows.data import PaymentCaptureData, read_existing_payment
from gateway.flows.payment_resolutions import PAYMENT_RESOLUTIONS
from gateway.flows.received_payments import receive_payment
from gateway.flows.start import start_flow
from gateway.models import Payment
from sagas.definitions import EXTERNAL, LOCAL, Call, Context, Definition, Step
from sagas.outcomes import Failure, NeedsReview, NoEffect, Outcome, Success, Transient
from sagas.registry import register
from sagas.state import SagaState


def capture_at_channel(call: Call) -> Outcome:
    data = PaymentCaptureData.read(call.data)
    answer = data.get_channel().capture_payment(
        CapturePayment(
            key=call.key, payment=data.build_payment_ref(call.timeout_seconds), amount_minor=data.amount_minor
        )
    )
    if isinstance(answer, NewKeyRequired):
        return count_call_before_query(query_channel(call))
    if isinstance(answer, Declined):
        # An earlier call, whose answer was lost, may have captured it meanwhile.
        queried = query_channel(call)
        return queried if isinstance(queried, Success | NeedsReview) else convert_call_answer(answer)
    return (
        _convert_payment(data, answer.value) if isinstance(answer, Reported) else convert_call_answer(answer)
    )


def query_channel(call: Call) -> Outcome:
    """After a lost answer. A channel captures a payment once: while it is authorized nothing was captured, and of two
    capture calls in flight it refuses the second."""
    data = PaymentCaptureData.read(call.data)
    answer = data.get_channel().find_payment(data.build_payment_ref(call.timeout_seconds))
    if isinstance(answer, Reported) and answer.value.state == PaymentState.AUTHORIZED:
        return NoEffect("not captured: the channel has it as authorized", spends_attempt=False)
    return (
        _convert_payment(data, answer.value) if isinstance(answer, Reported) else convert_query_answer(answer)
    )


def _convert_payment(data: PaymentCaptureData, payment: ChannelPayment) -> Outcome:
    if payment.state in (PaymentState.CANCELLED, PaymentState.DECLINED):
        return Failure(
            payment.failure_code or "authorization_gone", "the authorization is not there any more"
        )
    if payment.state != PaymentState.PAID:
        return Transient(f"the channel still has the payment as {payment.state}")
    mismatch = describe_payment_mismatch(
        payment,
        reference=data.reference,
        amount_minor=data.payment_amount_minor,
        currency=data.currency,
    )
    if not mismatch and payment.captured_minor != data.amount_minor:
        mismatch = f"the channel captured {payment.captured_minor}, we requested {data.amount_minor}"
    return NeedsReview(mismatch) if mismatch else Success(build_payment_result(payment))


def record_capture(context: Context) -> None:
    data = PaymentCaptureData.read(context.data)
    payment = Payment.objects.select_for_update().get(id=data.payment_id)
    receive_payment(payment=payment, captured_minor=context.results["CaptureAtChannel"]["captured_minor"])


PAYMENT_CAPTURE = register(
    Definition(
        name="payment.capture",
        version=1,
        business_type="payment",
        deadline_seconds=15 * 60,
        steps=(
            Step("CaptureAtChannel", capture_at_channel, kind=EXTERNAL, query=query_channel, pivot=True),
            Step("RecordCapture", record_capture, kind=LOCAL),
        ),
        resolutions=PAYMENT_RESOLUTIONS,
    )
)


def start_payment_capture(*, payment: Payment, saga_id: uuid.UUID, amount_minor: int) -> SagaState:
    """Starts payment.capture in the caller's transaction."""
    data = PaymentCaptureData(**read_existing_payment(payment), amount_minor=amount_minor)
    return start_flow(
        PAYMENT_CAPTURE,
        saga_id=saga_id,
        business_id=payment.payment_no,
        data=data,
        environment=payment.environment,
        merchant_id=payment.merchant_id,
    )
