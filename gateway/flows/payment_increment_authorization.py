"""payment.increment_authorization: has the channel authorize a larger amount (ADR 35).

1. BeginIncrement (LOCAL)                 records the increment    compensation: the increment failed
2. IncrementAtChannel (EXTERNAL, pivot)   the channel asks the customer's bank; a decline leaves the authorization
3. RecordIncrement (LOCAL)

The call carries the new total, so that the channel's total tells whether it has happened.
"""

import uuid

from django.utils.translation import gettext_lazy

from channels.base import (
    ChannelPayment,
    IncrementAuthorization,
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
from gateway.flows.data import AuthorizationIncrementData, read_existing_payment
from gateway.flows.start import start_flow
from gateway.models import Payment
from sagas.definitions import EXTERNAL, LOCAL, Call, Context, Definition, Resolution, Step
from sagas.outcomes import CallNotFound, Failure, NeedsReview, Outcome, Success, Transient
from sagas.registry import register
from sagas.state import SagaState


def begin_increment(context: Context) -> None:
    data = AuthorizationIncrementData.read(context.data)
    state_machine.begin_increment(
        increment_id=data.increment_id,
        payment=selectors.lock_payment(data.payment_id),
        amount_minor=data.amount_minor,
    )


def fail_increment(context: Context) -> None:
    """Compensation. A query finds out whether the authorization is still there."""
    data = AuthorizationIncrementData.read(context.data)
    payment = selectors.lock_payment(data.payment_id)
    failure = context.failure or Failure("unknown", "")
    state_machine.mark_increment_failed(
        increment_id=data.increment_id, code=failure.code, message=failure.message
    )
    state_machine.schedule_payment_query(payment=payment)


def increment_at_channel(call: Call) -> Outcome:
    data = AuthorizationIncrementData.read(call.data)
    answer = data.get_channel().increment_authorization(
        IncrementAuthorization(
            key=call.key,
            payment=data.build_payment_ref(call.timeout_seconds),
            amount_minor=data.amount_minor,
        )
    )
    return convert_repeatable_call_answer(
        answer, query=lambda: query_channel(call), convert=lambda payment: _convert_payment(data, payment)
    )


def query_channel(call: Call) -> Outcome:
    """After a lost answer. A call that has not happened may still be on its way: it is repeated with its key."""
    data = AuthorizationIncrementData.read(call.data)
    answer = data.get_channel().find_payment(data.build_payment_ref(call.timeout_seconds))
    if not isinstance(answer, Reported):
        return convert_query_answer(answer)
    if (
        answer.value.state == PaymentState.AUTHORIZED
        and answer.value.amount_minor == data.payment_amount_minor
    ):
        return CallNotFound()
    return _convert_payment(data, answer.value)


def _convert_payment(data: AuthorizationIncrementData, payment: ChannelPayment) -> Outcome:
    if payment.state in (PaymentState.CANCELLED, PaymentState.DECLINED, PaymentState.PAID):
        return Failure("authorization_gone", f"the channel has the payment as {payment.state}")
    if payment.state != PaymentState.AUTHORIZED or payment.amount_minor == data.payment_amount_minor:
        return Transient("the channel has not authorized the larger amount")
    mismatch = describe_payment_mismatch(
        payment, reference=data.reference, amount_minor=data.amount_minor, currency=data.currency
    )
    return NeedsReview(str(mismatch)) if mismatch else Success(build_payment_result(payment))


def record_increment(context: Context) -> None:
    data = AuthorizationIncrementData.read(context.data)
    payment = selectors.lock_payment(data.payment_id)
    state_machine.mark_increment_succeeded(increment_id=data.increment_id, payment=payment)


# A channel that reports the larger amount later is believed, so nothing else has to be decided.
_RESOLUTIONS = (
    Resolution(
        "watch",
        gettext_lazy("Not known: the increment ends, and the channel is polled"),
        fail_increment,
    ),
)

PAYMENT_INCREMENT_AUTHORIZATION = register(
    Definition(
        name="payment.increment_authorization",
        version=1,
        business_type="payment",
        deadline_seconds=15 * 60,
        steps=(
            Step("BeginIncrement", begin_increment, kind=LOCAL, compensate=fail_increment),
            Step("IncrementAtChannel", increment_at_channel, kind=EXTERNAL, query=query_channel, pivot=True),
            Step("RecordIncrement", record_increment, kind=LOCAL),
        ),
        resolutions=_RESOLUTIONS,
    )
)


def start_authorization_increment(*, payment: Payment, saga_id: uuid.UUID, amount_minor: int) -> SagaState:
    """Starts payment.increment_authorization in the caller's transaction, which holds the payment's lock.
    `amount_minor` is the new total."""
    data = AuthorizationIncrementData(
        **read_existing_payment(payment), increment_id=saga_id, amount_minor=amount_minor
    )
    return start_flow(
        PAYMENT_INCREMENT_AUTHORIZATION,
        saga_id=saga_id,
        business_id=payment.payment_no,
        data=data,
        environment=payment.environment,
        merchant_id=payment.merchant_id,
    )
