"""refund.create: gives money back to the customer.

1. ReserveRefund (LOCAL)                reserves the amount    compensation: release it
2. CallChannelRefund (EXTERNAL, pivot)  refunds it at the channel: a refund cannot be taken back
3. SettleRefund (LOCAL)                 records the channel's outcome
"""

import datetime as dt
import uuid
from typing import Any

from django.utils import timezone

from channel_accounts.loaded_accounts import load_account
from channels.base import ChannelRefund, CreateRefund, NewKeyRequired, RefundRef, RefundState, Reported
from common.ids import public_number, uuid7
from gateway import selectors, state_machine
from gateway.flows.channel_outcomes import (
    build_refund_result,
    convert_call_answer,
    convert_query_after_used_key,
    convert_query_answer,
    describe_refund_mismatch,
)
from gateway.flows.data import RefundCreateData, read_existing_payment
from gateway.flows.refund_checks import get_earliest_call, require_refund_allowed
from gateway.flows.refund_resolutions import REFUND_RESOLUTIONS
from gateway.flows.start import start_flow
from gateway.models import Payment, PaymentAttempt, Refund, RefundOrigin
from sagas.definitions import EXTERNAL, LOCAL, Call, Context, Definition, Step
from sagas.outcomes import Failure, Json, NeedsReview, Outcome, StepFailed, Success, Transient
from sagas.registry import register
from sagas.state import SagaState

# In `Context.written_objects`: the refund as its last step left it, so that the answer needs no query.
SETTLED_REFUND = "settled_refund"


def reserve_refund(context: Context) -> Json:
    """Locks the payment, so that two refunds at the same time cannot exceed it together. The result has the
    reserved amount if it is not the requested one, and the earliest time of the call if the channel wants a pause
    between the refunds of a payment.

    Raises one of `refund_checks.REFUND_REFUSALS`; in a worker `StepFailed`.
    """
    data = RefundCreateData.read(context.data)
    payment = selectors.lock_payment(data.payment_id)
    attempt = (
        payment.attempts.get(number=data.duplicate_attempt) if data.duplicate_attempt is not None else None
    )
    amount_minor = _choose_amount(payment, attempt, data)
    call_at = get_earliest_call(payment, attempt)
    channel = data.get_channel()
    refund = Refund(
        id=data.refund_id,
        refund_no=data.refund_no,
        payment=payment,
        duplicate_attempt=attempt,
        merchant_id=data.merchant_id,
        environment=data.environment,
        amount_minor=amount_minor,
        currency=data.currency,
        reason=data.reason,
        origin=data.origin,
        channel=channel.name,
        channel_account_id=channel.account.id,
        call_at=call_at,
        returns_application_fee=data.returns_application_fee,
    )
    state_machine.record_new_refund(refund=refund)
    result: dict[str, Any] = {}
    if amount_minor != data.amount_minor:
        result["amount_minor"] = amount_minor
    if call_at is not None:
        result["call_at"] = call_at.isoformat()
    return result


def _choose_amount(payment: Payment, attempt: PaymentAttempt | None, data: RefundCreateData) -> int:
    """The requested amount. Of a late or duplicate payment at most what is left when a worker refunds it: its channel
    may have refunded it meanwhile, and a dispute may have taken it."""
    if not data.late_payment:
        require_refund_allowed(payment=payment, amount_minor=data.amount_minor)
        return data.amount_minor
    left_minor = attempt.duplicate_refundable_minor if attempt else payment.refundable_minor
    if left_minor == 0:
        raise StepFailed("nothing_to_refund", "the late payment was refunded or disputed meanwhile")
    return min(left_minor, data.amount_minor)


def release_reservation(context: Context) -> None:
    data = RefundCreateData.read(context.data)
    failure = context.failure or Failure("unknown", "")
    state_machine.mark_refund_failed(refund=_lock_refund(data), code=failure.code, message=failure.message)


def refund_at_channel(call: Call) -> Outcome:
    data = RefundCreateData.read(call.data)
    if (pause_seconds := _get_pause_seconds(call)) > 0:
        reason = "the channel wants a pause between the refunds of a payment"
        return Transient(reason, pause_seconds, spends_attempt=False)
    answer = data.get_channel().refund_payment(
        CreateRefund(
            key=call.key,
            reference=data.refund_no,
            payment=data.build_payment_ref(call.timeout_seconds),
            amount_minor=_get_reserved_amount(call, data),
            currency=data.currency,
            reason=data.reason,
            payment_amount_minor=data.payment_amount_minor,
            metadata=data.metadata,
            returns_application_fee=data.returns_application_fee,
        )
    )
    if isinstance(answer, NewKeyRequired):
        # No call with the key is in flight any more: what a query does not find now never happened.
        return convert_query_after_used_key(query_channel(call))
    if isinstance(answer, Reported):
        return _convert_refund(call, data, answer.value)
    return convert_call_answer(answer)


def _get_reserved_amount(call: Call, data: RefundCreateData) -> int:
    amount_minor: int = call.results["ReserveRefund"].get("amount_minor", data.amount_minor)
    return amount_minor


def _get_pause_seconds(call: Call) -> float:
    call_at = call.results["ReserveRefund"].get("call_at")
    return (dt.datetime.fromisoformat(call_at) - timezone.now()).total_seconds() if call_at else 0.0


def query_channel(call: Call) -> Outcome:
    """Queries by the refund's number. A call whose refund is not found may still be in flight: it is repeated
    with the same key."""
    data = RefundCreateData.read(call.data)
    ref = RefundRef(data.refund_no, data.build_payment_ref(call.timeout_seconds))
    answer = data.get_channel().find_refund(ref)
    if isinstance(answer, Reported):
        return _convert_refund(call, data, answer.value)
    return convert_query_answer(answer)


def _convert_refund(call: Call, data: RefundCreateData, refund: ChannelRefund) -> Outcome:
    if refund.state == RefundState.FAILED:
        return Failure(refund.failure_code or "refund_failed", refund.failure_message)
    mismatch = describe_refund_mismatch(
        refund,
        reference=data.refund_no,
        amount_minor=_get_reserved_amount(call, data),
        currency=data.currency,
    )
    return NeedsReview(str(mismatch)) if mismatch else Success(build_refund_result(refund))


def settle_refund(context: Context) -> None:
    data = RefundCreateData.read(context.data)
    result = context.results["CallChannelRefund"]
    refund = Refund(id=data.refund_id, payment_id=data.payment_id)
    if result["state"] == RefundState.SUCCEEDED:
        settle = state_machine.mark_refund_succeeded
    else:
        settle = state_machine.mark_refund_processing
    if settle(refund=refund, channel_refund_no=result["channel_refund_no"]):
        context.written_objects[SETTLED_REFUND] = refund


def _lock_refund(data: RefundCreateData) -> Refund:
    payment = selectors.lock_payment(data.payment_id)
    refund = Refund.objects.select_for_update().get(id=data.refund_id)
    refund.payment = payment
    return refund


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
                query=query_channel,
                queries_before_each_repetition=True,
                pivot=True,
            ),
            Step("SettleRefund", settle_refund, kind=LOCAL),
        ),
        resolutions=REFUND_RESOLUTIONS,
    )
)


def start_refund_create(
    *,
    payment: Payment,
    refund_id: uuid.UUID,
    amount_minor: int,
    reason: str,
    origin: RefundOrigin = RefundOrigin.MERCHANT,
) -> SagaState:
    """Starts refund.create in the caller's transaction. Raises one of `refund_checks.REFUND_REFUSALS`."""
    return _start_refund(payment, refund_id, amount_minor, reason, origin=origin)


def start_late_refund_saga(
    *, payment: Payment, reason: str, duplicate_attempt: PaymentAttempt | None = None
) -> uuid.UUID:
    """Starts the refund of a late payment, or of the duplicate payment of `duplicate_attempt`, in the caller's
    transaction. A worker runs it."""
    amount_minor = (
        duplicate_attempt.duplicate_refundable_minor if duplicate_attempt else payment.refundable_minor
    )
    return _start_refund(
        payment, uuid7(), amount_minor, reason, late_payment=True, duplicate_attempt=duplicate_attempt
    ).id


def _is_fee_returned(payment: Payment, duplicate_attempt: PaymentAttempt | None) -> bool:
    """Whether the account gives application fees back, and the refunded attempt has one."""
    account_id = (duplicate_attempt or payment).channel_account_id
    if account_id is None or not load_account(account_id).returns_fee_on_refund:
        return False
    attempt = duplicate_attempt or payment.attempts.latest("number")
    return attempt.application_fee_minor > 0


def _start_refund(
    payment: Payment,
    refund_id: uuid.UUID,
    amount_minor: int,
    reason: str,
    *,
    late_payment: bool = False,
    duplicate_attempt: PaymentAttempt | None = None,
    origin: RefundOrigin = RefundOrigin.AUTOMATIC,
) -> SagaState:
    data = RefundCreateData(
        **read_existing_payment(payment, duplicate_attempt),
        refund_id=refund_id,
        refund_no=public_number("REF", timezone.now().date()),
        merchant_id=payment.merchant_id,
        amount_minor=amount_minor,
        reason=reason,
        metadata=payment.metadata,
        late_payment=late_payment,
        duplicate_attempt=duplicate_attempt.number if duplicate_attempt else None,
        origin=origin.value,
        returns_application_fee=_is_fee_returned(payment, duplicate_attempt),
    )
    return start_flow(
        REFUND_CREATE,
        saga_id=refund_id,
        business_id=data.refund_no,
        data=data,
        leased=not late_payment,
        environment=payment.environment,
        merchant_id=payment.merchant_id,
    )
