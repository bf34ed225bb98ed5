"""payment.capture: takes an authorized amount, or part of it. A final capture releases the rest (ADR 35).

1. BeginCapture (LOCAL)                 records the capture    compensation: the capture failed
2. CaptureAtChannel (EXTERNAL, pivot)
3. RecordCapture (LOCAL)                the payment succeeds, or stays authorized for further captures

One capture of a payment is in flight at a time, so the channel's total tells whether it has happened.
"""

import uuid

from channels.base import CapturePayment, ChannelPayment, PaymentState, Reported
from gateway import selectors, state_machine
from gateway.flows.channel_outcomes import (
    build_payment_result,
    convert_query_answer,
    convert_repeatable_call_answer,
    describe_payment_mismatch,
)
from gateway.flows.data import PaymentCaptureData, read_existing_payment
from gateway.flows.payment_resolutions import PAYMENT_RESOLUTIONS
from gateway.flows.received_payments import receive_partial_capture, receive_payment
from gateway.flows.start import start_flow
from gateway.models import Payment
from gateway.review_reasons import ReviewMessage, ReviewReason, amount_value, state_value
from sagas.definitions import EXTERNAL, LOCAL, Call, Context, Definition, Step
from sagas.outcomes import CallNotFound, Failure, NeedsReview, NoEffect, Outcome, Success, Unknown
from sagas.registry import register
from sagas.state import SagaState

_AUTHORIZATION_GONE = Failure("authorization_gone", "the authorization is not there any more")


def begin_capture(context: Context) -> None:
    data = PaymentCaptureData.read(context.data)
    state_machine.begin_capture(
        capture_id=data.capture_id,
        payment=selectors.lock_payment(data.payment_id),
        amount_minor=data.amount_minor,
        is_final=data.is_final,
    )


def fail_capture(context: Context) -> None:
    """Compensation. The channel may have ended the authorization, so the payment is queried."""
    data = PaymentCaptureData.read(context.data)
    payment = selectors.lock_payment(data.payment_id)
    failure = context.failure or Failure("unknown", "")
    state_machine.mark_capture_failed(capture_id=data.capture_id, code=failure.code, message=failure.message)
    state_machine.schedule_payment_query(payment=payment)


def capture_at_channel(call: Call) -> Outcome:
    data = PaymentCaptureData.read(call.data)
    answer = data.get_channel().capture_payment(
        CapturePayment(
            key=call.key,
            payment=data.build_payment_ref(call.timeout_seconds),
            amount_minor=data.amount_minor,
            is_final=data.is_final,
            captured_before_minor=data.captured_before_minor,
        )
    )
    return convert_repeatable_call_answer(
        answer, query=lambda: query_channel(call), convert=lambda payment: _convert_payment(data, payment)
    )


def query_channel(call: Call) -> Outcome:
    """After a lost answer. A call that has not happened may still be on its way. Of two final captures in flight the
    channel refuses the second; it would accept a second one that is not final, so that one is repeated with its key."""
    data = PaymentCaptureData.read(call.data)
    answer = data.get_channel().find_payment(data.build_payment_ref(call.timeout_seconds))
    if not isinstance(answer, Reported):
        return convert_query_answer(answer)
    payment = answer.value
    if payment.state == PaymentState.AUTHORIZED and payment.captured_minor == data.captured_before_minor:
        if data.is_final:
            return NoEffect("not captured: the channel has it as authorized", spends_attempt=False)
        return CallNotFound()
    return _convert_payment(data, payment)


def _convert_payment(data: PaymentCaptureData, payment: ChannelPayment) -> Outcome:
    if payment.state in (PaymentState.CANCELLED, PaymentState.DECLINED):
        if data.captured_before_minor:
            return NeedsReview(f"the channel reports {payment.state} after a capture")
        return Failure(payment.failure_code or _AUTHORIZATION_GONE.code, _AUTHORIZATION_GONE.message)
    if payment.state not in (PaymentState.PAID, PaymentState.AUTHORIZED):
        # Such as a capture that the channel has accepted and decides later: it may still happen.
        return Unknown(f"the channel still has the payment as {payment.state}")
    mismatch = describe_payment_mismatch(
        payment,
        reference=data.reference,
        amount_minor=data.payment_amount_minor,
        currency=data.currency,
    )
    if mismatch:
        return NeedsReview(str(mismatch))
    is_paid = payment.state == PaymentState.PAID
    if payment.captured_minor == data.captured_after_minor and (is_paid or not data.is_final):
        return Success(build_payment_result(payment))
    if payment.captured_minor == data.captured_before_minor:
        # The authorization has lapsed, or the channel's answer is older than the call.
        return _AUTHORIZATION_GONE if is_paid else Unknown("the channel still has it as authorized")
    contradiction = ReviewReason(
        ReviewMessage.CAPTURE_UNCLEAR,
        {
            "state": state_value(payment.state),
            "reported": amount_value(payment.captured_minor, data.currency),
            "requested": amount_value(data.captured_after_minor, data.currency),
        },
    )
    return NeedsReview(str(contradiction))


def record_capture(context: Context) -> None:
    data = PaymentCaptureData.read(context.data)
    payment = selectors.lock_payment(data.payment_id)
    result = context.results["CaptureAtChannel"]
    if result["state"] == PaymentState.AUTHORIZED:
        receive_partial_capture(payment=payment, captured_minor=result["captured_minor"])
    else:
        receive_payment(payment=payment, captured_minor=result["captured_minor"])
    state_machine.mark_capture_succeeded(capture_id=data.capture_id)


PAYMENT_CAPTURE = register(
    Definition(
        name="payment.capture",
        version=1,
        business_type="payment",
        deadline_seconds=15 * 60,
        steps=(
            Step("BeginCapture", begin_capture, kind=LOCAL, compensate=fail_capture),
            Step("CaptureAtChannel", capture_at_channel, kind=EXTERNAL, query=query_channel, pivot=True),
            Step("RecordCapture", record_capture, kind=LOCAL),
        ),
        resolutions=PAYMENT_RESOLUTIONS,
    )
)


def start_payment_capture(
    *, payment: Payment, saga_id: uuid.UUID, amount_minor: int, is_final: bool
) -> SagaState:
    """Starts payment.capture in the caller's transaction, which holds the payment's lock."""
    data = PaymentCaptureData(
        **read_existing_payment(payment),
        capture_id=saga_id,
        amount_minor=amount_minor,
        is_final=is_final,
        captured_before_minor=payment.captured_minor,
    )
    return start_flow(
        PAYMENT_CAPTURE,
        saga_id=saga_id,
        business_id=payment.payment_no,
        data=data,
        environment=payment.environment,
        merchant_id=payment.merchant_id,
    )
