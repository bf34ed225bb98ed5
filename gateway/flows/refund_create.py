"""refund.create: reserve the amount, have the channel give it back, settle. Refunded money never comes back,
so the channel's call is the pivot."""

import uuid

from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from channels.base import ChannelRefund, CreateRefund, NewKeyRequired, RefundRef, RefundState, Reported
from common.ids import public_number, uuid7
from gateway import limits, state_machine
from gateway.errors import PaymentDisputed, PaymentNotRefundable, RefundExceedsPayment
from gateway.flows.answers import after_the_call, no_answer, no_news, refund_mismatch, refund_result
from gateway.flows.data import RefundCreateData, existing_payment, saga_queue
from gateway.flows.refund_resolutions import REFUND_RESOLUTIONS
from gateway.models import Payment, PaymentAttempt, PaymentStatus, Refund, RefundOrigin
from sagas import engine, wakeups
from sagas.definitions import EXTERNAL, LOCAL, Call, Context, Definition, Step
from sagas.outcomes import Failure, Outcome, Success, Undecidable
from sagas.registry import register
from sagas.state import SagaState


def reserve_refund(context: Context) -> None:
    """Raises `PaymentNotRefundable`, `PaymentDisputed` and `RefundExceedsPayment`. The payment's row lock puts refunds
    in a line."""
    data = RefundCreateData.read(context.data)
    payment = Payment.objects.select_for_update().get(id=data.payment_id)
    if data.surplus_of is not None:
        attempt = _reserve_surplus(payment, data.surplus_of, data.amount_minor)
    else:
        attempt = None
        _reserve(payment, data)
    Refund.objects.create(
        id=data.refund_id,
        refund_no=data.refund_no,
        payment=payment,
        surplus_of=attempt,
        merchant_id=data.merchant_id,
        environment=data.environment,
        amount_minor=data.amount_minor,
        currency=data.currency,
        reason=data.reason,
        origin=data.origin,
        channel=data.made_by.name,
    )


def _reserve(payment: Payment, data: RefundCreateData) -> None:
    require_refundable(payment=payment, amount_minor=data.amount_minor, late_money=data.late_money)
    Payment.objects.filter(id=payment.id).update(
        refund_pending_minor=F("refund_pending_minor") + data.amount_minor, updated_at=Now()
    )


def require_refundable(*, payment: Payment, amount_minor: int, late_money: bool = False) -> None:
    """Raises `PaymentNotRefundable`, `PaymentDisputed` and `RefundExceedsPayment`."""
    if payment.status != PaymentStatus.SUCCEEDED and not late_money:
        raise PaymentNotRefundable({"payment_no": payment.payment_no, "status": payment.status})
    if amount_minor <= payment.refundable_minor:
        return
    facts = {
        "payment_no": payment.payment_no,
        "payment_amount": payment.amount_minor,
        "captured_amount": payment.captured_minor,
        "refunded_amount": payment.refunded_minor,
        "pending_amount": payment.refund_pending_minor,
        "refundable_amount": payment.refundable_minor,
    }
    if amount_minor <= payment.unrefunded_minor:
        raise PaymentDisputed({**facts, "disputed_amount": payment.disputed_minor})
    raise RefundExceedsPayment(facts)


def _reserve_surplus(payment: Payment, number: int, amount_minor: int) -> PaymentAttempt:
    attempt: PaymentAttempt = payment.attempts.get(number=number)
    if amount_minor > attempt.surplus_refundable_minor:
        raise RefundExceedsPayment(
            {"payment_no": payment.payment_no, "refundable_amount": attempt.surplus_refundable_minor}
        )
    PaymentAttempt.objects.filter(id=attempt.id).update(
        surplus_pending_minor=F("surplus_pending_minor") + amount_minor
    )
    return attempt


def release_reservation(context: Context) -> None:
    data = RefundCreateData.read(context.data)
    failure = context.failure or Failure("unknown", "")
    state_machine.mark_refund_failed(refund=_locked_refund(data), code=failure.code, message=failure.message)


def refund_at_channel(call: Call) -> Outcome:
    data = RefundCreateData.read(call.data)
    answer = data.made_by.refund_payment(
        CreateRefund(
            key=call.key,
            reference=data.refund_no,
            payment=data.at_channel(call.timeout_seconds),
            amount_minor=data.amount_minor,
            currency=data.currency,
            reason=data.reason,
            metadata=data.metadata,
        )
    )
    if isinstance(answer, NewKeyRequired):
        # No call with the key is on its way any more: what a query does not find now never happened.
        return after_the_call(ask_channel(call))
    return _refunded(data, answer.value) if isinstance(answer, Reported) else no_answer(answer)


def ask_channel(call: Call) -> Outcome:
    """By the refund's number. One that is not found may still be on its way: the same key is repeated."""
    data = RefundCreateData.read(call.data)
    ref = RefundRef(data.refund_no, data.at_channel(call.timeout_seconds))
    answer = data.made_by.find_refund(ref)
    return _refunded(data, answer.value) if isinstance(answer, Reported) else no_news(answer)


def _refunded(data: RefundCreateData, refund: ChannelRefund) -> Outcome:
    if refund.state == RefundState.FAILED:
        return Failure(refund.failure_code or "refund_failed", refund.failure_message)
    mismatch = refund_mismatch(
        refund, reference=data.refund_no, amount_minor=data.amount_minor, currency=data.currency
    )
    return Undecidable(mismatch) if mismatch else Success(refund_result(refund))


def settle_refund(context: Context) -> None:
    data = RefundCreateData.read(context.data)
    result = context.results["CallChannelRefund"]
    refund = _locked_refund(data)
    if result["state"] == RefundState.SUCCEEDED:
        state_machine.mark_refund_succeeded(refund=refund, channel_refund_no=result["channel_refund_no"])
    else:
        state_machine.mark_refund_processing(refund=refund, channel_refund_no=result["channel_refund_no"])


def _locked_refund(data: RefundCreateData) -> Refund:
    payment = Payment.objects.select_for_update().get(id=data.payment_id)
    refund = Refund.objects.select_for_update().get(id=data.refund_id)
    refund.payment = payment
    return refund


def start(
    *,
    payment: Payment,
    refund_id: uuid.UUID,
    amount_minor: int,
    reason: str,
    origin: RefundOrigin = RefundOrigin.MERCHANT,
) -> SagaState:
    """In the caller's transaction. Raises `PaymentNotRefundable`, `PaymentDisputed`, `RefundExceedsPayment`,
    `AmountNotSupported`."""
    limits.require_amount(channel=payment.channel, amount_minor=amount_minor, currency=payment.currency)
    return _start(payment, refund_id, amount_minor, reason, origin=origin)


def start_late(*, payment: Payment, reason: str, surplus_of: PaymentAttempt | None = None) -> uuid.UUID:
    """Gives back what was paid for a closed payment, or what an attempt took that had been given up. Runs in the
    transaction of the decision; a worker takes it up."""
    amount_minor = surplus_of.surplus_refundable_minor if surplus_of else payment.refundable_minor
    saga = _start(payment, uuid7(), amount_minor, reason, late_money=True, surplus_of=surplus_of)
    wakeups.send_after_commit(saga.task_queue)
    return saga.id


def _start(
    payment: Payment,
    refund_id: uuid.UUID,
    amount_minor: int,
    reason: str,
    *,
    late_money: bool = False,
    surplus_of: PaymentAttempt | None = None,
    origin: RefundOrigin = RefundOrigin.AUTOMATIC,
) -> SagaState:
    data = RefundCreateData(
        **existing_payment(payment, surplus_of),
        refund_id=refund_id,
        refund_no=public_number("REF", timezone.now().date()),
        merchant_id=payment.merchant_id,
        amount_minor=amount_minor,
        reason=reason,
        metadata=payment.metadata,
        late_money=late_money,
        surplus_of=surplus_of.number if surplus_of else None,
        origin=origin.value,
    )
    return engine.start(
        REFUND_CREATE.name,
        version=REFUND_CREATE.version,
        saga_id=refund_id,
        business_id=data.refund_no,
        data=data.as_json(),
        leased=not late_money,
        **saga_queue(payment.environment, payment.merchant_id),
    )


REFUND_CREATE = register(
    Definition(
        name="refund.create",
        version=1,
        business_type="refund",
        deadline_seconds=24 * 3600,
        steps=(
            Step("ReserveRefund", reserve_refund, kind=LOCAL, compensate=release_reservation),
            Step(
                "CallChannelRefund",
                refund_at_channel,
                kind=EXTERNAL,
                query=ask_channel,
                asks_before_each_repetition=True,
                pivot=True,
            ),
            Step("SettleRefund", settle_refund, kind=LOCAL),
        ),
        resolutions=REFUND_RESOLUTIONS,
    )
)
