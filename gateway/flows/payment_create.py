"""payment.create: an order and a payment of ours, and the channel's payment that the customer pays.

When a channel declines for reasons of its own and others may be tried, CallPaymentChannel goes on to the next one: one
attempt after the other, each with its own reference and key, each committed before its call.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Self

from django.utils import timezone

from channels.base import (
    CancelPayment,
    ChannelPayment,
    CreatePayment,
    Declined,
    InvalidRequest,
    NewKeyRequired,
    NotFoundAtChannel,
    PaymentRef,
    PaymentState,
    Reported,
)
from channels.guard import GuardedChannel
from channels.registry import get_channel, get_channel_limits, get_channel_of_payment, is_down
from common.db import insert_together
from events.outbox import build_event_row
from gateway import metrics, selectors, state_machine
from gateway.flows import money
from gateway.flows.answers import no_answer, no_news, payment_mismatch, payment_result
from gateway.flows.data import PaymentCreateData
from gateway.flows.payment_resolutions import PAYMENT_RESOLUTIONS
from gateway.models import CaptureMethod, Payment, PaymentAttempt, PaymentStatus, build_attempt_reference
from orders import services as orders
from orders.errors import DuplicateOrderNo
from sagas.definitions import EXTERNAL, LOCAL, Call, Context, Definition, Step
from sagas.outcomes import (
    Another,
    Failure,
    Honoured,
    Json,
    NotFound,
    Outcome,
    StepFailed,
    Success,
    Transient,
    Undecidable,
)
from sagas.registry import register

STEP = "CallPaymentChannel"
MAX_REPEATED_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Try:
    """Which attempt the step is at, read from its result so far."""

    payment_no: str
    number: int
    channel: str
    sandbox: bool
    first: int = 1

    @classmethod
    def current(cls, data: PaymentCreateData, results: Mapping[str, Json]) -> Self:
        so_far = results.get(STEP, {})
        if "attempt" not in so_far:
            return cls(data.payment_no, data.first_attempt, data.channel, data.sandbox, data.first_attempt)
        return cls(
            data.payment_no,
            so_far["attempt"],
            so_far["channel"],
            so_far["sandbox"],
            data.first_attempt,
        )

    def again(self, data: PaymentCreateData) -> Self | None:
        """A further attempt at the same channel, because the key of this one is used up; None after too many."""
        places = (data.channel, *data.elsewhere)
        repeated = self.number - self.first - places.index(self.channel)
        if repeated >= MAX_REPEATED_ATTEMPTS:
            return None
        return replace(self, number=self.number + 1)

    @property
    def reference(self) -> str:
        return build_attempt_reference(self.payment_no, self.number)

    def key(self, key: str) -> str:
        return key if self.number == self.first else f"{key}:{self.number}"

    def as_result(self) -> Json:
        if self.number == self.first:
            return {}
        return {"attempt": self.number, "channel": self.channel, "sandbox": self.sandbox}

    def at(self, environment: str) -> GuardedChannel:
        return get_channel_of_payment(self.channel, environment, sandbox=self.sandbox)

    def next(self, data: PaymentCreateData) -> Self | None:
        """The next channel that is up, or just the next one; None when none is left."""
        places = (data.channel, *data.elsewhere)
        left = places[places.index(self.channel) + 1 :]
        if not left:
            return None
        up = (channel for channel in left if not is_down(channel, data.environment))
        channel = next(up, left[0])
        sandbox = get_channel(channel, data.environment).sandbox
        return replace(self, number=self.number + 1, channel=channel, sandbox=sandbox)


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
        channel_reference=build_attempt_reference(data.payment_no, 1),
        created_at=placed.now,
        expires_at=placed.now + timedelta(seconds=data.expires_in_seconds),
    )
    created = state_machine.build_payment_event("payment.created", payment)
    attempt = PaymentAttempt(
        payment=payment, reference=payment.channel_reference, channel=data.channel, sandbox=data.sandbox
    )
    insert_together(payment, attempt, build_event_row(created))
    metrics.count_payment_event(created.type, payment)


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
    closed = state_machine.close_unpaid_payment(
        payment=payment, status=status, code=failure.code, message=failure.message
    )
    if not closed and payment.status == PaymentStatus.SUCCEEDED:
        raise StepFailed("paid_meanwhile", "the payment was reported paid while it was being rolled back")


def call_channel(call: Call) -> Outcome:
    data = PaymentCreateData.read(call.data)
    this = Try.current(data, call.results)
    answer = this.at(data.environment).create_payment(_creation(data, this, call))
    if isinstance(answer, Reported):
        return _created(data, this, answer.value)
    if isinstance(answer, NewKeyRequired):
        return _after_a_key_is_used_up(data, this, call, answer)
    outcome = no_answer(answer)
    may_go_on = isinstance(answer, InvalidRequest) or (isinstance(answer, Declined) and answer.can_fail_over)
    if may_go_on and isinstance(outcome, Failure) and (onward := this.next(data)):
        return _another(onward, outcome)
    return outcome


def _creation(data: PaymentCreateData, this: Try, call: Call) -> CreatePayment:
    """The same for every repetition with the same key."""
    return CreatePayment(
        key=this.key(call.forward_key),
        reference=this.reference,
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
        started_at=data.started_at,
        intended_at=call.intended_at,
    )


def _another(attempt: Try, failure: Failure) -> Another:
    declined = {"code": failure.code, "message": failure.message}
    return Another({**attempt.as_result(), "declined": declined})


def _after_a_key_is_used_up(
    data: PaymentCreateData, this: Try, call: Call, answer: NewKeyRequired
) -> Outcome:
    """A further attempt, with a reference of its own: should the channel have made something under the old key after
    all, its updates do not touch this payment, and its money goes back."""
    if not answer.is_harmless:
        found = this.at(data.environment).find_payment(_at_channel(data, this, call))
        if isinstance(found, Reported):
            return _created(data, this, found.value)
        if not isinstance(found, NotFoundAtChannel):
            return no_news(found)
    failure = Failure("channel_error", answer.reason)
    attempt = this.again(data) or this.next(data)
    return _another(attempt, failure) if attempt else failure


def ask_channel(call: Call) -> Outcome:
    """After a lost answer. While the channel keeps answers under keys, repeating the call is the best query."""
    data = PaymentCreateData.read(call.data)
    this = Try.current(data, call.results)
    channel = this.at(data.environment)
    if _key_lives(channel, call):
        return NotFound()
    answer = channel.find_payment(_at_channel(data, this, call))
    if not isinstance(answer, Reported):
        return no_news(answer)
    if answer.value.state == PaymentState.DECLINED and this.next(data):
        # Whether another channel may be tried only the call itself says; its key makes it safe to repeat.
        return NotFound()
    return _created(data, this, answer.value)


def _key_lives(channel: GuardedChannel, call: Call) -> bool:
    lives = timedelta(seconds=get_channel_limits(channel.name).idempotency_key_lifetime_seconds)
    return timezone.now() - call.intended_at < lives


def _at_channel(data: PaymentCreateData, this: Try, call: Call, channel_trade_no: str = "") -> PaymentRef:
    return PaymentRef(
        this.reference,
        data.environment,
        call.timeout_seconds,
        channel_trade_no,
        data.started_at,
    )


def _created(data: PaymentCreateData, this: Try, payment: ChannelPayment) -> Outcome:
    if payment.state == PaymentState.DECLINED:
        return Failure(payment.failure_code or "declined", payment.failure_message)
    if payment.state == PaymentState.CANCELLED:
        return Failure("cancelled_at_channel", "the channel has cancelled the payment")
    mismatch = payment_mismatch(
        payment, reference=this.reference, amount_minor=data.amount_minor, currency=data.currency
    )
    return Undecidable(mismatch) if mismatch else Success({**payment_result(payment), **this.as_result()})


def next_attempt(context: Context) -> None:
    """Ends the attempt that was declined and writes down the next one, in the transaction of its intent."""
    data = PaymentCreateData.read(context.data)
    this = Try.current(data, context.results)
    payment = Payment.objects.select_for_update().get(id=data.payment_id)
    if not payment.is_open:
        raise StepFailed("closed_meanwhile", f"the payment is {payment.status} already")
    declined = context.results[STEP]["declined"]
    state_machine.begin_next_attempt(
        payment=payment,
        number=this.number,
        channel=this.channel,
        sandbox=this.sandbox,
        code=declined["code"],
        message=declined["message"],
    )


def cancel_at_channel(call: Call) -> Outcome:
    """Compensation. The cancel asks first: a payment that turns out to be paid, or that its customer has submitted, is
    honoured."""
    data = PaymentCreateData.read(call.data)
    this = Try.current(data, call.results)
    trade_no = call.results.get(STEP, {}).get("channel_trade_no", "")
    channel = this.at(data.environment)
    answer = channel.cancel_payment(
        CancelPayment(
            key=this.key(call.key),
            payment=_at_channel(data, this, call, trade_no),
            creation=_creation(data, this, call) if _key_lives(channel, call) else None,
        )
    )
    if isinstance(answer, NotFoundAtChannel):
        return Success({"state": "missing"})
    if not isinstance(answer, Reported):
        return no_answer(answer)
    match answer.value.state:
        case PaymentState.CANCELLED | PaymentState.DECLINED:
            return Success(payment_result(answer.value))
        case PaymentState.PAID | PaymentState.PROCESSING:
            created = _created(data, this, answer.value)
            return Honoured(created.result) if isinstance(created, Success) else created
    return Transient(f"the channel still has the payment as {answer.value.state}")


def activate_payment(context: Context) -> None:
    """Shows the customer where to pay, and takes over what the channel already knows."""
    data = PaymentCreateData.read(context.data)
    result = context.results[STEP]
    state_machine.activate_payment(
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
            money.arrived(payment=payment, captured_minor=result["captured_minor"])
        case PaymentState.AUTHORIZED:
            state_machine.mark_payment_authorized(payment=payment)
        case PaymentState.PROCESSING:
            state_machine.mark_payment_processing(payment=payment)


CREATE_ORDER = Step("CreateOrder", create_order, kind=LOCAL, compensate=release_order)
CALL_CHANNEL = Step(
    STEP,
    call_channel,
    kind=EXTERNAL,
    query=ask_channel,
    between=next_attempt,
    compensate=cancel_at_channel,
)
ACTIVATE_PAYMENT = Step("ActivatePayment", activate_payment, kind=LOCAL)

PAYMENT_CREATE = register(
    Definition(
        name="payment.create",
        version=1,
        business_type="payment",
        deadline_seconds=15 * 60,
        steps=(
            CREATE_ORDER,
            CALL_CHANNEL,
            ACTIVATE_PAYMENT,
        ),
        resolutions=PAYMENT_RESOLUTIONS,
    )
)
