"""payment.capture: takes an authorized amount, or part of it; the rest is released."""

from channels.base import CapturePayment, ChannelPayment, Declined, NewKeyRequired, PaymentState, Reported
from gateway.flows import money
from gateway.flows.answers import after_the_call, no_answer, no_news, payment_mismatch, payment_result
from gateway.flows.data import PaymentCaptureData
from gateway.flows.payment_resolutions import PAYMENT_RESOLUTIONS
from gateway.models import Payment
from sagas.definitions import EXTERNAL, LOCAL, Call, Context, Definition, Step
from sagas.outcomes import Failure, NothingHappened, Outcome, Success, Transient, Undecidable
from sagas.registry import register


def capture_at_channel(call: Call) -> Outcome:
    data = PaymentCaptureData.read(call.data)
    answer = data.made_by.capture_payment(
        CapturePayment(
            key=call.key, payment=data.at_channel(call.timeout_seconds), amount_minor=data.amount_minor
        )
    )
    if isinstance(answer, NewKeyRequired):
        return after_the_call(ask_channel(call))
    if isinstance(answer, Declined):
        # Perhaps because an earlier call, whose answer was lost, has arrived meanwhile and captured it.
        found = ask_channel(call)
        return found if isinstance(found, Success | Undecidable) else no_answer(answer)
    return _captured(data, answer.value) if isinstance(answer, Reported) else no_answer(answer)


def ask_channel(call: Call) -> Outcome:
    """After a lost answer. A channel captures a payment once: while it is authorized nothing was captured, and of two
    captures on their way the second is refused."""
    data = PaymentCaptureData.read(call.data)
    answer = data.made_by.find_payment(data.at_channel(call.timeout_seconds))
    if isinstance(answer, Reported) and answer.value.state == PaymentState.AUTHORIZED:
        return NothingHappened("not captured: the channel has it as authorized", spends_attempt=False)
    return _captured(data, answer.value) if isinstance(answer, Reported) else no_news(answer)


def _captured(data: PaymentCaptureData, payment: ChannelPayment) -> Outcome:
    if payment.state in (PaymentState.CANCELLED, PaymentState.DECLINED):
        return Failure(
            payment.failure_code or "authorization_gone", "the authorization is not there any more"
        )
    if payment.state != PaymentState.PAID:
        return Transient(f"the channel still has the payment as {payment.state}")
    mismatch = payment_mismatch(
        payment,
        reference=data.reference,
        amount_minor=data.payment_amount_minor,
        currency=data.currency,
    )
    if not mismatch and payment.captured_minor != data.amount_minor:
        mismatch = f"the channel captured {payment.captured_minor}, we asked for {data.amount_minor}"
    return Undecidable(mismatch) if mismatch else Success(payment_result(payment))


def record_capture(context: Context) -> None:
    data = PaymentCaptureData.read(context.data)
    payment = Payment.objects.select_for_update().get(id=data.payment_id)
    money.arrived(payment=payment, captured_minor=context.results["CaptureAtChannel"]["captured_minor"])


PAYMENT_CAPTURE = register(
    Definition(
        name="payment.capture",
        version=1,
        business_type="payment",
        deadline_seconds=15 * 60,
        steps=(
            Step("CaptureAtChannel", capture_at_channel, kind=EXTERNAL, query=ask_channel, pivot=True),
            Step("RecordCapture", record_capture, kind=LOCAL),
        ),
        resolutions=PAYMENT_RESOLUTIONS,
    )
)
