"""Converts Refunds, and Charges that were refunded, into the port's types."""

from collections.abc import Mapping

from channels.base import ChannelRefund, RefundedPayment, RefundState, UnexpectedFormat
from channels.stripe import amounts
from channels.stripe.fields import StripeJson, read_id, read_number, read_text
from channels.stripe.metadata import PAYMENT_NO, REFUND_NO, read_reference

# docs.stripe.com/api/refunds/object
_REFUND_STATES = {
    "pending": RefundState.PENDING,
    "requires_action": RefundState.PENDING,
    "succeeded": RefundState.SUCCEEDED,
    "failed": RefundState.FAILED,
    "canceled": RefundState.FAILED,
}


def read_refund(refund: StripeJson, environment: str) -> ChannelRefund:
    """Reads a Refund. `payment_reference` is known only where its PaymentIntent was expanded."""
    currency, status = read_text(refund, "currency"), refund.get("status")
    if status not in _REFUND_STATES:
        raise UnexpectedFormat(f"a refund that is {status!r}")
    state = _REFUND_STATES[status]
    is_failed = state == RefundState.FAILED
    intent = refund.get("payment_intent")
    expanded_intent: StripeJson = intent if isinstance(intent, Mapping) else {}
    return ChannelRefund(
        reference=read_reference(refund, REFUND_NO, environment),
        channel_refund_no=read_text(refund, "id"),
        state=state,
        amount_minor=amounts.from_stripe(read_number(refund, "amount"), currency),
        currency=currency.upper(),
        failure_code=str(refund.get("failure_reason") or "refund_failed") if is_failed else "",
        failure_message="",
        environment=environment,
        payment_reference=read_reference(expanded_intent, PAYMENT_NO, environment),
        payment_trade_no=read_id(intent),
    )


def read_refunded_charge(charge: StripeJson, environment: str) -> RefundedPayment:
    return RefundedPayment(environment, read_id(charge.get("payment_intent")))
