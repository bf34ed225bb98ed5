"""payment.cancel: the channel decides first, then our payment follows, also when the customer was faster."""

import uuid

from channels.base import (
    CancelPayment,
    ChannelPayment,
    NewKeyRequired,
    NotFoundAtChannel,
    PaymentState,
    Reported,
)
from common.ids import uuid7
from gateway import state_machine
from gateway.flows import money
from gateway.flows.answers import after_the_call, no_answer, no_news, payment_mismatch, payment_result
from gateway.flows.data import PaymentCancelData, existing_payment, saga_queue
from gateway.flows.payment_resolutions import PAYMENT_RESOLUTIONS
from gateway.models import Payment, PaymentAttempt, PaymentStatus
from sagas import engine, selectors
from sagas.definitions import EXTERNAL, LOCAL, Call, Context, Definition, Step
from sagas.outcomes import Failure, NothingHappened, Outcome, Success, Transient, Undecidable
from sagas.registry import register
from sagas.state import SagaState

_ENDS = (PaymentState.CANCELLED, PaymentState.DECLINED, PaymentState.PAID)


def cancel_at_channel(call: Call) -> Outcome:
    data = PaymentCancelData.read(call.data)
    answer = data.made_by.cancel_payment(
        CancelPayment(key=call.key, payment=data.at_channel(call.timeout_seconds), reason=data.reason)
    )
    if isinstance(answer, NotFoundAtChannel):
        return Success({"state": PaymentState.CANCELLED.value})
    if isinstance(answer, NewKeyRequired):
        return after_the_call(ask_channel(call))
    return _ended(data, answer.value) if isinstance(answer, Reported) else no_answer(answer)


def ask_channel(call: Call) -> Outcome:
    """After a lost answer. A payment that has not ended has not been cancelled, and a cancel that comes late does no
    harm: the next one is a call of its own."""
    data = PaymentCancelData.read(call.data)
    answer = data.made_by.find_payment(data.at_channel(call.timeout_seconds))
    if isinstance(answer, Reported) and answer.value.state in _ENDS:
        return _ended(data, answer.value)
    if isinstance(answer, Reported | NotFoundAtChannel):
        state = answer.value.state if isinstance(answer, Reported) else "unknown"
        return NothingHappened(f"not cancelled: the channel has the payment as {state}", spends_attempt=False)
    return no_news(answer)


def _ended(data: PaymentCancelData, payment: ChannelPayment) -> Outcome:
    match payment.state:
        case PaymentState.CANCELLED | PaymentState.DECLINED:
            return Success(payment_result(payment))
        case PaymentState.PAID:
            mismatch = payment_mismatch(
                payment,
                reference=data.reference,
                amount_minor=data.payment_amount_minor,
                currency=data.currency,
            )
            return Undecidable(mismatch) if mismatch else Success(payment_result(payment))
        case PaymentState.PROCESSING:
            # The customer was faster. What the channel decides comes by webhook, or when it is asked.
            return Failure(
                "payment_processing", "the customer has submitted the payment: the channel decides"
            )
    return Transient(f"the channel still has the payment as {payment.state}")


def cancel_order(context: Context) -> None:
    data = PaymentCancelData.read(context.data)
    result = context.results["CancelAtChannel"]
    payment = Payment.objects.select_for_update().get(id=data.payment_id)
    paid = result["state"] == PaymentState.PAID
    if data.reference != payment.reference:
        if paid:
            money.arrived_twice(
                payment=payment,
                attempt=payment.attempts.get(reference=data.reference),
                taken_minor=result["captured_minor"],
                channel_trade_no=result["channel_trade_no"],
            )
    elif paid:
        money.arrived(payment=payment, captured_minor=result["captured_minor"])
    else:
        state_machine.close_unpaid_payment(
            payment=payment,
            status=PaymentStatus(data.final_status),
            code=data.final_status,
            message=data.reason,
        )


def start(
    *,
    payment: Payment,
    saga_id: uuid.UUID,
    final_status: PaymentStatus,
    reason: str,
    attempt: PaymentAttempt | None = None,
    leased: bool = True,
) -> SagaState:
    """In the caller's transaction. With an attempt that was given up, only that one ends."""
    data = PaymentCancelData(
        **existing_payment(payment, attempt), final_status=final_status.value, reason=reason
    )
    return engine.start(
        PAYMENT_CANCEL.name,
        version=PAYMENT_CANCEL.version,
        saga_id=saga_id,
        business_id=_business_id(payment, attempt),
        data=data.as_json(),
        leased=leased,
        **saga_queue(payment.environment, payment.merchant_id),
    )


def _business_id(payment: Payment, attempt: PaymentAttempt | None) -> str:
    """The end of an attempt that was given up stands in the way of nothing that is done to the payment."""
    return f"{payment.payment_no}/{attempt.number}" if attempt else payment.payment_no


def start_release(*, payment: Payment, attempt: PaymentAttempt | None) -> bool:
    """Lets go what the channel holds for nothing. False when that is being done already."""
    business_id = _business_id(payment, attempt)
    if selectors.has_active(definition=PAYMENT_CANCEL.name, business_id=business_id):
        return False
    start(
        payment=payment,
        saga_id=uuid7(),
        final_status=PaymentStatus.CANCELLED,
        reason="held for nothing",
        attempt=attempt,
        leased=False,
    )
    return True


PAYMENT_CANCEL = register(
    Definition(
        name="payment.cancel",
        version=1,
        business_type="payment",
        deadline_seconds=15 * 60,
        steps=(
            Step("CancelAtChannel", cancel_at_channel, kind=EXTERNAL, query=ask_channel, pivot=True),
            Step("CancelOrder", cancel_order, kind=LOCAL),
        ),
        resolutions=PAYMENT_RESOLUTIONS,
    )
)
