"""From Stripe's objects to what every channel says. Plain dictionaries, so that answers and webhooks are read by the
same code. An object that we did not make, or that belongs to the other environment, has no reference of ours.

The environment is that of the key an object was read with, or of the secret that signed its event: not every object of
Stripe's has `livemode` (a Refund has none).
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from channels.base import (
    ChannelDispute,
    ChannelPayment,
    ChannelRefund,
    Declined,
    DisputeState,
    PaymentState,
    RefundedPayment,
    RefundState,
)
from channels.stripe import amounts
from channels.stripe.errors import refusal

# Our own entries in the metadata of Stripe's objects. A merchant's entry never begins like these: see `labels`.
PREFIX = "payment_platform_"
PAYMENT_NO, REFUND_NO = f"{PREFIX}payment_no", f"{PREFIX}refund_no"
ENVIRONMENT, DIRECT = f"{PREFIX}environment", f"{PREFIX}direct"
# docs.stripe.com/api/metadata
MAX_ENTRIES, MAX_NAME, MAX_VALUE = 50, 40, 500

Shape = Mapping[str, Any]

_INTENT_STATES = {
    "requires_payment_method": PaymentState.OPEN,
    "requires_confirmation": PaymentState.OPEN,
    "requires_action": PaymentState.OPEN,
    "processing": PaymentState.PROCESSING,
    "requires_capture": PaymentState.AUTHORIZED,
    "succeeded": PaymentState.PAID,
    "canceled": PaymentState.CANCELLED,
}
_REFUND_STATES = {
    "pending": RefundState.PENDING,
    "requires_action": RefundState.PENDING,
    "succeeded": RefundState.SUCCEEDED,
    "failed": RefundState.FAILED,
    "canceled": RefundState.FAILED,
}
# Where the customer goes on, for each `next_action` of a PaymentIntent that has a page of its own.
ACTION_PAGES = {
    "redirect_to_url": "url",
    "alipay_handle_redirect": "url",
    "boleto_display_details": "hosted_voucher_url",
    "konbini_display_details": "hosted_voucher_url",
    "multibanco_display_details": "hosted_voucher_url",
    "oxxo_display_details": "hosted_voucher_url",
    "display_bank_transfer_instructions": "hosted_instructions_url",
    "cashapp_handle_redirect_or_display_qr_code": "hosted_instructions_url",
    "pix_display_qr_code": "hosted_instructions_url",
    "promptpay_display_qr_code": "hosted_instructions_url",
    "verify_with_microdeposits": "hosted_verification_url",
}
# docs.stripe.com/api/payment_intents/object: the other reasons are Stripe's own.
_REASONS_OF_CALLERS = frozenset({"duplicate", "fraudulent", "requested_by_customer", "abandoned"})


class Unreadable(Exception):
    """Not of the shape that this version of Stripe's API documents."""


def labels(metadata: Mapping[str, str], ours: Mapping[str, str], environment: str) -> dict[str, str]:
    """The metadata of an object at Stripe: ours, by which we find and read it, and as much of the merchant's as Stripe
    takes. What Stripe would refuse is left out: it must not stop a payment."""
    own = {ENVIRONMENT: environment, **ours}
    theirs = {name: value[:MAX_VALUE] for name, value in metadata.items() if _is_taken(name, value)}
    return {**dict(list(theirs.items())[: MAX_ENTRIES - len(own)]), **own}


def _is_taken(name: str, value: str) -> bool:
    """Stripe refuses square brackets in names, and takes an empty value for "remove this entry"."""
    fits = 0 < len(name) <= MAX_NAME and "[" not in name and "]" not in name
    return fits and bool(value) and not name.startswith(PREFIX)


def reference_of(shape: Shape, label: str, environment: str) -> str:
    """Empty for what is not ours: test and live never mix."""
    metadata = shape.get("metadata") or {}
    return str(metadata.get(label) or "") if metadata.get(ENVIRONMENT) == environment else ""


def payment_of_session(session: Shape, environment: str) -> ChannelPayment:
    """A Checkout Session. Its PaymentIntent, where it was fetched too, knows more than the session."""
    intent = session.get("payment_intent")
    settled = session.get("status") == "complete" and isinstance(intent, Mapping)
    state, captured, code = _session_state(session)
    told = payment_of_intent(intent, environment) if settled and isinstance(intent, Mapping) else None
    currency = _text(session, "currency")
    return ChannelPayment(
        reference=reference_of(session, PAYMENT_NO, environment),
        channel_trade_no=_text(session, "id"),
        state=_after_completion(told.state) if told else state,
        amount_minor=amounts.from_stripe(_number(session, "amount_total"), currency),
        currency=currency.upper(),
        captured_minor=told.captured_minor if told else amounts.from_stripe(captured, currency),
        payment_url=str(session.get("url") or ""),
        failure_code=told.failure_code if told else code,
        failure_message=told.failure_message if told else "",
    )


def _session_state(session: Shape) -> tuple[PaymentState, int, str]:
    match session.get("status"), session.get("payment_status"):
        case "open", _:
            return PaymentState.OPEN, 0, ""
        case "expired", _:
            return PaymentState.CANCELLED, 0, "expired"
        case "complete", "paid":
            return PaymentState.PAID, _number(session, "amount_total"), ""
        case "complete", _:  # authorized, or a slow way to pay: the PaymentIntent tells
            return PaymentState.PROCESSING, 0, ""
    raise Unreadable(f"a session that is {session.get('status')!r}")


def _after_completion(state: PaymentState) -> PaymentState:
    """Nobody can pay on a page that is complete: a PaymentIntent that asks for another way to pay has failed."""
    return PaymentState.DECLINED if state == PaymentState.OPEN else state


def payment_of_intent(intent: Shape, environment: str) -> ChannelPayment:
    currency, status = _text(intent, "currency"), intent.get("status")
    if status not in _INTENT_STATES:
        raise Unreadable(f"a payment intent that is {status!r}")
    state, failure = _INTENT_STATES[status], intent.get("last_payment_error") or {}
    # Confirmed by us with a saved card, there is no page on which the customer could try another one.
    if status == "requires_payment_method" and failure and (intent.get("metadata") or {}).get(DIRECT):
        state = PaymentState.DECLINED
    declined = refusal(failure) if failure and state in (PaymentState.DECLINED, PaymentState.OPEN) else None
    return ChannelPayment(
        reference=reference_of(intent, PAYMENT_NO, environment),
        channel_trade_no=_text(intent, "id"),
        state=state,
        amount_minor=amounts.from_stripe(_number(intent, "amount"), currency),
        currency=currency.upper(),
        captured_minor=_captured(intent, currency) if state == PaymentState.PAID else 0,
        payment_url=_page_of_action(intent.get("next_action") or {}),
        failure_code=_failure_code(intent, state, declined),
        failure_message=declined.message if declined else "",
    )


def _page_of_action(action: Shape) -> str:
    """Where the customer does what is left to do, for example 3-D Secure."""
    kind = action.get("type")
    if kind not in ACTION_PAGES:
        return ""
    return str((action.get(kind) or {}).get(ACTION_PAGES[kind]) or "")


def _failure_code(intent: Shape, state: PaymentState, declined: Declined | None) -> str:
    if state == PaymentState.CANCELLED and _ended_with_its_page(intent):
        return "expired"
    return declined.code if declined else ""


def _ended_with_its_page(intent: Shape) -> bool:
    """The PaymentIntent of a page can be cancelled alone only once the customer has paid. Before that it ends because
    its Checkout Session expired, and its event may come before the session's."""
    if intent.get("cancellation_reason") == "expired":
        return True
    was_asked_for = intent.get("cancellation_reason") in _REASONS_OF_CALLERS
    was_authorized = bool(intent.get("latest_charge")) and not intent.get("last_payment_error")
    has_page = not (intent.get("metadata") or {}).get(DIRECT)
    return has_page and not was_asked_for and not was_authorized


def _captured(intent: Shape, currency: str) -> int:
    return amounts.from_stripe(_number(intent, "amount_received"), currency)


def refund_of(refund: Shape, environment: str) -> ChannelRefund:
    currency, status = _text(refund, "currency"), refund.get("status")
    if status not in _REFUND_STATES:
        raise Unreadable(f"a refund that is {status!r}")
    failed = _REFUND_STATES[status] == RefundState.FAILED
    intent = refund.get("payment_intent")
    fetched: Shape = intent if isinstance(intent, Mapping) else {}
    return ChannelRefund(
        reference=reference_of(refund, REFUND_NO, environment),
        channel_refund_no=_text(refund, "id"),
        state=_REFUND_STATES[status],
        amount_minor=amounts.from_stripe(_number(refund, "amount"), currency),
        currency=currency.upper(),
        failure_code=str(refund.get("failure_reason") or "refund_failed") if failed else "",
        failure_message="",
        environment=environment,
        payment_reference=reference_of(fetched, PAYMENT_NO, environment),
        payment_trade_no=_id_of(intent),
    )


def _id_of(value: Any) -> str:
    """Of a field that holds an id, or the object itself where it was expanded."""
    return str(value.get("id") or "") if isinstance(value, Mapping) else str(value or "")


# docs.stripe.com/api/disputes/object: `warning_…` are inquiries, for which no money is taken.
_DISPUTE_STATES = {
    "needs_response": DisputeState.NEEDS_RESPONSE,
    "under_review": DisputeState.UNDER_REVIEW,
    "won": DisputeState.WON,
    "lost": DisputeState.LOST,
    "prevented": DisputeState.CLOSED,
    "warning_needs_response": DisputeState.NEEDS_RESPONSE,
    "warning_under_review": DisputeState.UNDER_REVIEW,
    "warning_closed": DisputeState.CLOSED,
}


def dispute_of(dispute: Shape, environment: str) -> ChannelDispute:
    currency, status = _text(dispute, "currency"), _text(dispute, "status")
    due_by = (dispute.get("evidence_details") or {}).get("due_by")
    return ChannelDispute(
        environment=environment,
        channel_dispute_no=_text(dispute, "id"),
        # Charges of the time before PaymentIntents are not ours.
        channel_trade_no=_id_of(dispute.get("payment_intent")),
        amount_minor=amounts.from_stripe(_number(dispute, "amount"), currency),
        currency=currency.upper(),
        reason=str(dispute.get("reason") or "general"),
        # A status of a later version of the API is not an end: it goes on blocking refunds.
        state=_DISPUTE_STATES.get(status, DisputeState.UNDER_REVIEW),
        is_inquiry=status.startswith("warning_"),
        evidence_due_by=dt.datetime.fromtimestamp(due_by, dt.UTC) if type(due_by) is int else None,
    )


def refunded_payment_of(charge: Shape, environment: str) -> RefundedPayment:
    return RefundedPayment(environment, _id_of(charge.get("payment_intent")))


def _text(shape: Shape, name: str) -> str:
    value = shape.get(name)
    if not isinstance(value, str) or not value:
        raise Unreadable(f"{name} is missing")
    return value


def _number(shape: Shape, name: str) -> int:
    value = shape.get(name)
    if type(value) is not int:
        raise Unreadable(f"{name} is not a whole number")
    return value
