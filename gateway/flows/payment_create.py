"""payment.create: an order and a payment of ours, and the channel's payment that the customer pays."""

from datetime import timedelta

from common.db import insert_together
from events.outbox import row_of
from gateway import metrics, selectors, transitions
from gateway.channels.base import Answered, CancelPayment, CreatePayment, Missing, PaymentAnswer, PaymentState
from gateway.channels.registry import served_by
from gateway.flows.answers import no_answer, payment_mismatch, payment_result
from gateway.flows.data import PaymentCreateData
from gateway.models import CaptureMethod, Payment, PaymentAttempt, PaymentStatus
from orders import services as orders
from orders.errors import DuplicateOrderNo
from sagas.definitions import EXTERNAL, LOCAL, Call, Context, Definition, Step
from sagas.outcomes import Failure, Honoured, Outcome, StepFailed, Success, Transient, Undecidable
from sagas.registry import register


def create_order(context: Context) -> None:
    """Order, items, payment, first attempt and event, in the transaction that begins the saga.

    Raises `DuplicateOrderNo`, `OrderNotPayable`, `OrderMismatch`.
    """
    data = PaymentCreateData.read(context.data)
    placed = _order_to_pay(data)
    payment = Payment(
        id=data.payment_id,
        payment_no=data.payment_no,
        merchant_id=data.merchant_id,
        environment=data.environment,
        order=placed.order,
        order_no=data.order_no,
        amount_minor=data.amount_minor,
        currency=data.currency,
        channel=data.channel,
        sandbox=data.sandbox,
        capture_method=data.capture_method,
        subject=data.subject,
        body=data.body,
        callback_url=data.callback_url,
        return_url=data.return_url,
        customer=data.customer,
        metadata=data.metadata,
        created_at=placed.now,
        expires_at=placed.now + timedelta(seconds=data.expires_in_seconds),
    )
    created = transitions.event("payment.created", payment)
    insert_together(payment, PaymentAttempt(payment=payment, channel=data.channel), row_of(created))
    metrics.payment(created.type, payment)


def _order_to_pay(data: PaymentCreateData) -> orders.FoundOrder:
    draft = orders.OrderDraft(
        merchant_id=data.merchant_id,
        environment=data.environment,
        order_no=data.order_no,
        amount_minor=data.amount_minor,
        currency=data.currency,
        subject=data.subject,
        items=tuple(orders.ItemDraft(**item) for item in data.items),
        metadata=data.metadata,
    )
    found = orders.find_or_place_order(order_id=data.order_id, draft=draft)
    if not found.is_new:
        payment = selectors.payment_of_order(found.order)
        if payment is not None:
            raise DuplicateOrderNo({"order_no": data.order_no, "payment_no": payment.payment_no})
        orders.require_payable(order=found.order, draft=draft)
    return found


def release_order(context: Context) -> None:
    """The payment did not come about: it fails, or is cancelled when that was asked for; its order is cancelled."""
    data = PaymentCreateData.read(context.data)
    failure = context.failure or Failure("unknown", "")
    payment = Payment.objects.select_for_update().get(id=data.payment_id)
    status = PaymentStatus.CANCELLED if failure.code == "cancel_requested" else PaymentStatus.FAILED
    closed = transitions.closed_unpaid(
        payment=payment, status=status, code=failure.code, message=failure.message
    )
    if not closed and payment.status == PaymentStatus.SUCCEEDED:
        raise StepFailed("paid_meanwhile", "the payment was reported paid while it was being rolled back")


def call_channel(call: Call) -> Outcome:
    data = PaymentCreateData.read(call.data)
    answer = served_by(data.channel, data.environment).channel.create_payment(
        CreatePayment(
            key=call.key,
            reference=data.payment_no,
            environment=data.environment,
            amount_minor=data.amount_minor,
            currency=data.currency,
            subject=data.subject,
            description=data.body,
            return_url=data.return_url,
            manual_capture=data.capture_method == CaptureMethod.MANUAL,
            expires_in_seconds=data.expires_in_seconds,
            timeout_seconds=call.timeout_seconds,
            metadata=data.metadata,
        )
    )
    return _created(data, answer)


def ask_channel(call: Call) -> Outcome:
    data = PaymentCreateData.read(call.data)
    channel = served_by(data.channel, data.environment).channel
    return _created(data, channel.find_payment(data.at_channel(call.timeout_seconds)))


def _created(data: PaymentCreateData, answer: PaymentAnswer) -> Outcome:
    if not isinstance(answer, Answered):
        return no_answer(answer)
    payment = answer.value
    if payment.state == PaymentState.DECLINED:
        return Failure(payment.failure_code or "declined", payment.failure_message)
    if payment.state == PaymentState.CANCELLED:
        return Failure("cancelled_at_channel", "the channel has cancelled the payment")
    mismatch = payment_mismatch(
        payment, reference=data.payment_no, amount_minor=data.amount_minor, currency=data.currency
    )
    return Undecidable(mismatch) if mismatch else Success(payment_result(payment))


def cancel_at_channel(call: Call) -> Outcome:
    """Compensation. The cancel asks first: a payment that turns out to be paid is honoured."""
    data = PaymentCreateData.read(call.data)
    known = call.results.get("CallPaymentChannel", {})
    answer = served_by(data.channel, data.environment).channel.cancel_payment(
        CancelPayment(
            key=call.key, payment=data.at_channel(call.timeout_seconds, known.get("channel_trade_no", ""))
        )
    )
    if isinstance(answer, Missing):
        return Success({"state": "missing"})
    if not isinstance(answer, Answered):
        return no_answer(answer)
    match answer.value.state:
        case PaymentState.CANCELLED | PaymentState.DECLINED:
            return Success(payment_result(answer.value))
        case PaymentState.PAID:
            created = _created(data, answer)
            return Honoured(created.result) if isinstance(created, Success) else created
    return Transient(f"the channel still has the payment as {answer.value.state}")


def activate_payment(context: Context) -> None:
    """Shows the customer where to pay, and takes over what the channel already knows."""
    data = PaymentCreateData.read(context.data)
    result = context.results["CallPaymentChannel"]
    transitions.activate(
        payment_id=data.payment_id,
        channel_trade_no=result["channel_trade_no"],
        payment_url=result["payment_url"],
    )
    state = PaymentState(result["state"])
    if state == PaymentState.OPEN:
        return
    payment = Payment.objects.select_for_update().get(id=data.payment_id)
    match state:
        case PaymentState.PAID:
            transitions.succeeded(payment=payment, captured_minor=result["captured_minor"])
        case PaymentState.AUTHORIZED:
            transitions.authorized(payment=payment)
        case PaymentState.PROCESSING:
            transitions.processing(payment=payment)


PAYMENT_CREATE = register(
    Definition(
        name="payment.create",
        version=1,
        business_type="payment",
        deadline_seconds=15 * 60,
        steps=(
            Step("CreateOrder", create_order, kind=LOCAL, compensate=release_order),
            Step(
                "CallPaymentChannel",
                call_channel,
                kind=EXTERNAL,
                query=ask_channel,
                compensate=cancel_at_channel,
            ),
            Step("ActivatePayment", activate_payment, kind=LOCAL),
        ),
    )
)
