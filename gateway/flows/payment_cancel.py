"""payment.cancel: the channel decides first, then our payment follows, also when the customer was faster."""

from gateway import transitions
from gateway.channels.base import Answered, CancelPayment, Missing, PaymentAnswer, PaymentState
from gateway.channels.registry import served_by
from gateway.flows.answers import no_answer, payment_mismatch, payment_result
from gateway.flows.data import PaymentCancelData
from gateway.models import Payment, PaymentStatus
from sagas.definitions import EXTERNAL, LOCAL, Call, Context, Definition, Step
from sagas.outcomes import NotFound, Outcome, Success, Transient, Undecidable
from sagas.registry import register


def cancel_at_channel(call: Call) -> Outcome:
    data = PaymentCancelData.read(call.data)
    answer = served_by(data.channel, data.environment).channel.cancel_payment(
        CancelPayment(key=call.key, payment=data.at_channel(call.timeout_seconds), reason=data.reason)
    )
    if isinstance(answer, Missing):
        return Success({"state": PaymentState.CANCELLED.value})
    return _ended(data, answer)


def ask_channel(call: Call) -> Outcome:
    """After a lost answer: when the channel still waits for the customer, the cancel is simply repeated."""
    data = PaymentCancelData.read(call.data)
    answer = served_by(data.channel, data.environment).channel.find_payment(
        data.at_channel(call.timeout_seconds)
    )
    if isinstance(answer, Answered) and answer.value.state in (PaymentState.CANCELLED, PaymentState.PAID):
        return _ended(data, answer)
    return NotFound() if isinstance(answer, Answered | Missing) else no_answer(answer)


def _ended(data: PaymentCancelData, answer: PaymentAnswer) -> Outcome:
    if not isinstance(answer, Answered):
        return no_answer(answer)
    match answer.value.state:
        case PaymentState.CANCELLED | PaymentState.DECLINED:
            return Success(payment_result(answer.value))
        case PaymentState.PAID:
            mismatch = payment_mismatch(
                answer.value,
                reference=data.payment_no,
                amount_minor=data.payment_amount_minor,
                currency=data.currency,
            )
            return Undecidable(mismatch) if mismatch else Success(payment_result(answer.value))
    return Transient(f"the channel still has the payment as {answer.value.state}")


def cancel_order(context: Context) -> None:
    data = PaymentCancelData.read(context.data)
    result = context.results["CancelAtChannel"]
    payment = Payment.objects.select_for_update().get(id=data.payment_id)
    if result["state"] == PaymentState.PAID:
        transitions.succeeded(payment=payment, captured_minor=result["captured_minor"])
    else:
        transitions.closed_unpaid(
            payment=payment,
            status=PaymentStatus(data.final_status),
            code=data.final_status,
            message=data.reason,
        )


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
    )
)
