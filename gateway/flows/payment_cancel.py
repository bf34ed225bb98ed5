"""payment.cancel: cancels a payment that is not paid.

1. CancelAtChannel (EXTERNAL, pivot)   the channel decides: cancelled, or paid because the customer was faster. A page
                                       that the channel cannot close is waited for
2. CancelOrder (LOCAL)                 records what the channel decided
"""

import uuid

from django.utils import timezone

from channels.base import (
    CancelPayment,
    ChannelPayment,
    NewKeyRequired,
    NotFoundAtChannel,
    NotYet,
    PaymentState,
    Reported,
)
from common.ids import uuid7
from gateway import selectors, state_machine
from gateway.flows.channel_outcomes import (
    build_payment_result,
    convert_call_answer,
    convert_query_after_used_key,
    convert_query_answer,
    describe_payment_mismatch,
)
from gateway.flows.data import PaymentCancelData, read_existing_payment
from gateway.flows.payment_resolutions import PAYMENT_RESOLUTIONS
from gateway.flows.received_payments import (
    receive_duplicate_payment,
    receive_payment,
    review_ended_payment,
)
from gateway.flows.start import start_flow
from gateway.models import Payment, PaymentAttempt, PaymentStatus
from sagas import selectors as saga_selectors
from sagas.definitions import EXTERNAL, LOCAL, Call, Context, Definition, Step
from sagas.outcomes import Failure, NeedsReview, NoEffect, Outcome, Success, Transient
from sagas.registry import register
from sagas.state import SagaState

MIN_WAIT_SECONDS = 1.0  # our clock may be ahead of the channel's

_FINAL_STATES = (PaymentState.CANCELLED, PaymentState.DECLINED, PaymentState.PAID)


def cancel_at_channel(call: Call) -> Outcome:
    data = PaymentCancelData.read(call.data)
    answer = data.get_channel().cancel_payment(
        CancelPayment(key=call.key, payment=data.build_payment_ref(call.timeout_seconds), reason=data.reason)
    )
    if isinstance(answer, NotFoundAtChannel):
        return Success({"state": PaymentState.CANCELLED.value})
    if isinstance(answer, NotYet):
        return _wait_for_page_to_end(answer)
    if isinstance(answer, NewKeyRequired):
        return convert_query_after_used_key(query_channel(call))
    return (
        _convert_payment(data, answer.value) if isinstance(answer, Reported) else convert_call_answer(answer)
    )


def _wait_for_page_to_end(answer: NotYet) -> Outcome:
    """The customer can still pay on a page that the channel cannot close: the saga waits, and spends no attempt. Money
    that comes meanwhile wins."""
    seconds = (answer.until - timezone.now()).total_seconds()
    return Transient(
        f"the customer can still pay until {answer.until:%Y-%m-%d %H:%M:%S} UTC",
        max(seconds, MIN_WAIT_SECONDS),
        spends_attempt=False,
        extends_deadline=True,
    )


def query_channel(call: Call) -> Outcome:
    """After a lost answer. A payment that is still open has not been cancelled; a cancel call that arrives late does no
    harm, because the next one is a call of its own."""
    data = PaymentCancelData.read(call.data)
    answer = data.get_channel().find_payment(data.build_payment_ref(call.timeout_seconds))
    if isinstance(answer, Reported) and answer.value.state in _FINAL_STATES:
        return _convert_payment(data, answer.value)
    if isinstance(answer, Reported | NotFoundAtChannel | NotYet):
        state = answer.value.state if isinstance(answer, Reported) else "unknown"
        return NoEffect(f"not cancelled: the channel has the payment as {state}", spends_attempt=False)
    return convert_query_answer(answer)


def _convert_payment(data: PaymentCancelData, payment: ChannelPayment) -> Outcome:
    match payment.state:
        case PaymentState.CANCELLED | PaymentState.DECLINED:
            return Success(build_payment_result(payment))
        case PaymentState.APPROVED:
            # Money moves only when we complete the payment, and a closed payment is never completed.
            return Success({**build_payment_result(payment), "state": PaymentState.CANCELLED.value})
        case PaymentState.PAID:
            mismatch = describe_payment_mismatch(
                payment,
                reference=data.reference,
                amount_minor=data.payment_amount_minor,
                currency=data.currency,
            )
            return NeedsReview(str(mismatch)) if mismatch else Success(build_payment_result(payment))
        case PaymentState.PROCESSING:
            # The customer was faster. A webhook or a query brings what the channel decides.
            return Failure(
                "payment_processing", "the customer has submitted the payment: the channel decides"
            )
    return Transient(f"the channel still has the payment as {payment.state}")


def cancel_order(context: Context) -> None:
    data = PaymentCancelData.read(context.data)
    result = context.results["CancelAtChannel"]
    payment = selectors.lock_payment(data.payment_id)
    is_paid = result["state"] == PaymentState.PAID
    if data.reference != payment.reference:  # an earlier attempt
        if is_paid:
            receive_duplicate_payment(
                payment=payment,
                attempt=payment.attempts.get(reference=data.reference),
                captured_minor=result["captured_minor"],
                channel_trade_no=result["channel_trade_no"],
            )
    elif is_paid:
        receive_payment(payment=payment, captured_minor=result["captured_minor"])
    elif payment.is_partly_captured:
        review_ended_payment(payment=payment, state=PaymentState(result["state"]))
    else:
        state_machine.close_unpaid_payment(
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
            Step("CancelAtChannel", cancel_at_channel, kind=EXTERNAL, query=query_channel, pivot=True),
            Step("CancelOrder", cancel_order, kind=LOCAL),
        ),
        resolutions=PAYMENT_RESOLUTIONS,
    )
)


def start_payment_cancel(
    *,
    payment: Payment,
    saga_id: uuid.UUID,
    final_status: PaymentStatus,
    reason: str,
    attempt: PaymentAttempt | None = None,
    leased: bool = True,
) -> SagaState:
    """Starts payment.cancel in the caller's transaction. With an earlier `attempt`, only that one is cancelled."""
    data = PaymentCancelData(
        **read_existing_payment(payment, attempt), final_status=final_status.value, reason=reason
    )
    return start_flow(
        PAYMENT_CANCEL,
        saga_id=saga_id,
        business_id=_build_business_id(payment, attempt),
        data=data,
        leased=leased,
        environment=payment.environment,
        merchant_id=payment.merchant_id,
    )


def _build_business_id(payment: Payment, attempt: PaymentAttempt | None) -> str:
    """An id of its own for an earlier attempt: its cancellation must not block operations on the payment."""
    return f"{payment.payment_no}/{attempt.number}" if attempt else payment.payment_no


def start_release_saga(*, payment: Payment, attempt: PaymentAttempt | None) -> bool:
    """Releases funds that the channel holds although nothing will capture them. False when that is running already."""
    business_id = _build_business_id(payment, attempt)
    if saga_selectors.has_active_saga(definition=PAYMENT_CANCEL.name, business_id=business_id):
        return False
    start_payment_cancel(
        payment=payment,
        saga_id=uuid7(),
        final_status=PaymentStatus.CANCELLED,
        reason="held for nothing",
        attempt=attempt,
        leased=False,
    )
    return True
