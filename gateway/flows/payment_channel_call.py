"""CallPaymentChannel, the step of payment.create and payment.retry that creates the payment at the channel.

After a decline that allows failover, it calls the next fallback channel: one attempt after the other, each with its own
reference and key, each committed before its call.
"""

from datetime import timedelta

from django.utils import timezone

from channels.base import (
    CancelPayment,
    ChannelPayment,
    CreatePayment,
    Declined,
    InvalidRequest,
    NewKeyRequired,
    NotFoundAtChannel,
    NotYet,
    PaymentRef,
    PaymentState,
    Reported,
)
from channels.guard import GuardedChannel
from channels.registry import get_capabilities
from gateway import selectors, state_machine
from gateway.checkout_token import build_checkout_url
from gateway.flows.channel_attempt import CALL_PAYMENT_CHANNEL, ChannelAttempt
from gateway.flows.channel_outcomes import (
    build_payment_result,
    convert_call_answer,
    convert_query_answer,
    describe_payment_mismatch,
)
from gateway.flows.data import PaymentCreateData
from gateway.models import CaptureMethod
from sagas.definitions import EXTERNAL, Call, Context, Step
from sagas.outcomes import (
    AlreadySucceeded,
    CallNotFound,
    Failure,
    NeedsReview,
    NextCall,
    Outcome,
    StepFailed,
    Success,
    Transient,
)


def call_channel(call: Call) -> Outcome:
    data = PaymentCreateData.read(call.data)
    attempt = ChannelAttempt.read(data, call.results)
    channel = attempt.get_channel(data.environment)
    answer = channel.create_payment(_build_creation(data, attempt, call, channel))
    if isinstance(answer, Reported):
        return _convert_payment(data, attempt, answer.value)
    if isinstance(answer, NewKeyRequired):
        return _continue_with_new_key(data, attempt, call, answer)
    outcome = convert_call_answer(answer)
    can_fail_over = isinstance(answer, InvalidRequest) or (
        isinstance(answer, Declined) and answer.can_fail_over
    )
    if can_fail_over and isinstance(outcome, Failure) and (next_attempt := attempt.fail_over(data)):
        return _continue_with(next_attempt, outcome)
    return outcome


def _build_creation(
    data: PaymentCreateData, attempt: ChannelAttempt, call: Call, channel: GuardedChannel
) -> CreatePayment:
    """The same for every repetition with the same key."""
    return CreatePayment(
        key=attempt.build_key(call.forward_key),
        reference=attempt.reference,
        account=channel.account,
        amount_minor=data.amount_minor,
        currency=data.currency,
        subject=data.subject,
        description=data.body,
        return_url=data.return_url,
        manual_capture=data.capture_method == CaptureMethod.MANUAL,
        expires_in_seconds=data.expires_in_seconds,
        timeout_seconds=call.timeout_seconds,
        metadata=data.metadata,
        started_at=data.started_at,
        intended_at=call.intended_at,
        payment_method=data.payment_method,
        payment_method_options=data.payment_method_options,
        customer=data.build_customer(),
        checkout_url=build_checkout_url(data.payment_id),
        application_fee_minor=data.get_application_fee(attempt.choice),
        merchant_id=str(data.merchant_id),
        order_no=data.order_no,
    )


def _continue_with_new_key(
    data: PaymentCreateData, attempt: ChannelAttempt, call: Call, answer: NewKeyRequired
) -> Outcome:
    """Takes the payment that an earlier call may have created. Without one, continues with a further attempt, which has
    a reference of its own: if the channel creates a payment under the old key after all, its updates do not touch the
    further attempt, and its money is refunded as a duplicate payment."""
    if not answer.is_harmless:
        channel = attempt.get_channel(data.environment)
        found = channel.find_payment(_build_payment_ref(data, attempt, call, channel))
        if isinstance(found, Reported):
            return _convert_payment(data, attempt, found.value)
        if not isinstance(found, NotFoundAtChannel | NotYet):
            return convert_query_answer(found)
    failure = Failure("channel_error", answer.reason)
    next_attempt = attempt.repeat_at_same_channel(data) or attempt.fail_over(data)
    return _continue_with(next_attempt, failure) if next_attempt else failure


def _continue_with(next_attempt: ChannelAttempt, failure: Failure) -> NextCall:
    declined = {"code": failure.code, "message": failure.message}
    return NextCall({**next_attempt.to_result(), "declined": declined})


def _convert_payment(data: PaymentCreateData, attempt: ChannelAttempt, payment: ChannelPayment) -> Outcome:
    if payment.state == PaymentState.DECLINED:
        return Failure(payment.failure_code or "declined", payment.failure_message)
    if payment.state == PaymentState.CANCELLED:
        return Failure("cancelled_at_channel", "the channel has cancelled the payment")
    mismatch = describe_payment_mismatch(
        payment, reference=attempt.reference, amount_minor=data.amount_minor, currency=data.currency
    )
    if mismatch:
        return NeedsReview(str(mismatch))
    return Success({**build_payment_result(payment), **attempt.to_result()})


def query_channel(call: Call) -> Outcome:
    """After a lost answer. While the channel keeps answers under keys, repeating the call is the best query."""
    data = PaymentCreateData.read(call.data)
    attempt = ChannelAttempt.read(data, call.results)
    channel = attempt.get_channel(data.environment)
    if _is_key_kept(channel, call):
        return CallNotFound()
    answer = channel.find_payment(_build_payment_ref(data, attempt, call, channel))
    if not isinstance(answer, Reported):
        return convert_query_answer(answer)
    if answer.value.state == PaymentState.DECLINED and attempt.fail_over(data):
        # Only the call itself reports whether failover is allowed; its key makes the repetition safe.
        return CallNotFound()
    return _convert_payment(data, attempt, answer.value)


def _is_key_kept(channel: GuardedChannel, call: Call) -> bool:
    """Whether the channel still keeps the answer to a call with the present key."""
    kept_for = timedelta(seconds=get_capabilities(channel.name).idempotency_key_lifetime_seconds)
    return timezone.now() - call.intended_at < kept_for


def _build_payment_ref(
    data: PaymentCreateData,
    attempt: ChannelAttempt,
    call: Call,
    channel: GuardedChannel,
    channel_trade_no: str = "",
) -> PaymentRef:
    return PaymentRef(
        attempt.reference,
        channel.account,
        call.timeout_seconds,
        channel_trade_no,
        data.started_at,
        data.expires_at,
        data.get_method_name(attempt.choice.channel),
    )


def begin_next_attempt(context: Context) -> None:
    """Ends the declined attempt and begins the next one, in the transaction of its intent."""
    data = PaymentCreateData.read(context.data)
    attempt = ChannelAttempt.read(data, context.results)
    payment = selectors.lock_payment(data.payment_id)
    if not payment.is_open:
        raise StepFailed("closed_meanwhile", f"the payment is {payment.status} already")
    declined = context.results[CALL_PAYMENT_CHANNEL]["declined"]
    state_machine.begin_next_attempt(
        payment=payment,
        number=attempt.number,
        channel=attempt.choice.channel,
        channel_account_id=attempt.choice.account_id,
        sandbox=attempt.sandbox,
        application_fee_minor=data.get_application_fee(attempt.choice),
        payment_method=data.get_method_name(attempt.choice.channel),
        code=declined["code"],
        message=declined["message"],
    )


def cancel_at_channel(call: Call) -> Outcome:
    """Compensation. The channel decides: a payment that is paid, or that its customer has submitted, counts as already
    succeeded."""
    data = PaymentCreateData.read(call.data)
    attempt = ChannelAttempt.read(data, call.results)
    channel_trade_no = call.results.get(CALL_PAYMENT_CHANNEL, {}).get("channel_trade_no", "")
    channel = attempt.get_channel(data.environment)
    answer = channel.cancel_payment(
        CancelPayment(
            key=attempt.build_key(call.key),
            payment=_build_payment_ref(data, attempt, call, channel, channel_trade_no),
            creation=_build_creation(data, attempt, call, channel) if _is_key_kept(channel, call) else None,
        )
    )
    if isinstance(answer, NotFoundAtChannel | NotYet):
        # No customer has got the page of a payment that is still being created.
        return Success({"state": "not_found"})
    if not isinstance(answer, Reported):
        return convert_call_answer(answer)
    match answer.value.state:
        case PaymentState.CANCELLED | PaymentState.DECLINED | PaymentState.APPROVED:
            # An approved payment that we never complete lapses.
            return Success(build_payment_result(answer.value))
        case PaymentState.PAID | PaymentState.PROCESSING:
            outcome = _convert_payment(data, attempt, answer.value)
            return AlreadySucceeded(outcome.result) if isinstance(outcome, Success) else outcome
    return Transient(f"the channel still has the payment as {answer.value.state}")


CALL_CHANNEL = Step(
    CALL_PAYMENT_CHANNEL,
    call_channel,
    kind=EXTERNAL,
    query=query_channel,
    before_next_call=begin_next_attempt,
    compensate=cancel_at_channel,
)
