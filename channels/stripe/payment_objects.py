"""Converts Checkout Sessions and PaymentIntents into `ChannelPayment`."""

from collections.abc import Mapping

from channels.base import (
    ChannelPayment,
    PaymentCard,
    PaymentState,
    RedirectAction,
    ReportedCard,
    UnexpectedFormat,
    read_card,
)
from channels.stripe import amounts
from channels.stripe.errors import to_declined
from channels.stripe.fields import StripeJson, read_number, read_text
from channels.stripe.metadata import PAYMENT_NO, is_direct, read_reference

# docs.stripe.com/payments/paymentintents/lifecycle
_INTENT_STATES = {
    "requires_payment_method": PaymentState.OPEN,
    "requires_confirmation": PaymentState.OPEN,
    "requires_action": PaymentState.OPEN,
    "processing": PaymentState.PROCESSING,
    "requires_capture": PaymentState.AUTHORIZED,
    "succeeded": PaymentState.PAID,
    "canceled": PaymentState.CANCELLED,
}
# The field with the customer's page, for each `next_action` that has one (docs.stripe.com/api/payment_intents/object).
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
# Values of `cancellation_reason` that a caller can give; the others are Stripe's own
# (docs.stripe.com/api/payment_intents/object).
_CALLERS_CANCELLATION_REASONS = frozenset({"duplicate", "fraudulent", "requested_by_customer", "abandoned"})


def read_session(session: StripeJson, environment: str) -> ChannelPayment:
    """Reads a Checkout Session. Once it is complete, its PaymentIntent decides the state, if it was expanded."""
    state, captured, failure_code = _read_session_state(session)
    failure_message = ""
    currency = read_text(session, "currency")
    amount_minor = amounts.from_stripe(read_number(session, "amount_total"), currency)
    captured_minor = amounts.from_stripe(captured, currency)
    intent = session.get("payment_intent")
    if session.get("status") == "complete" and isinstance(intent, Mapping):
        payment = read_payment_intent(intent, environment)
        state = _read_complete_state(intent, payment.state)
        captured_minor = payment.captured_minor
        # An increment of the authorization changes the intent, not the session.
        amount_minor = payment.amount_minor or amount_minor
        failure_code, failure_message = payment.failure_code, payment.failure_message
    return ChannelPayment(
        reference=read_reference(session, PAYMENT_NO, environment),
        channel_trade_no=read_text(session, "id"),
        state=state,
        amount_minor=amount_minor,
        currency=currency.upper(),
        captured_minor=captured_minor,
        next_action=_to_redirect(str(session.get("url") or "")),
        failure_code=failure_code,
        failure_message=failure_message,
    )


def _read_session_state(session: StripeJson) -> tuple[PaymentState, int, str]:
    """Returns state, captured amount and failure code, from the session alone."""
    match session.get("status"), session.get("payment_status"):
        case "open", _:
            return PaymentState.OPEN, 0, ""
        case "expired", _:
            return PaymentState.CANCELLED, 0, "expired"
        case "complete", "paid":
            return PaymentState.PAID, read_number(session, "amount_total"), ""
        case "complete", _:  # authorized, or a slow payment method: only the PaymentIntent says
            return PaymentState.PROCESSING, 0, ""
    raise UnexpectedFormat(f"a session that is {session.get('status')!r}")


def _read_complete_state(intent: StripeJson, state: PaymentState) -> PaymentState:
    """Returns the state of a payment whose page is complete: nobody can try another payment method there.

    An intent that requires an action waits for days: for the customer to pay a voucher at a store or bank, for example.
    It then succeeds, or requires a payment method (docs.stripe.com/payments/oxxo/accept-a-payment,
    docs.stripe.com/payments/multibanco/accept-a-payment#expiration).
    """
    if state != PaymentState.OPEN:
        return state
    has_failed = intent.get("status") == "requires_payment_method"
    return PaymentState.DECLINED if has_failed else PaymentState.PROCESSING


def read_payment_intent(intent: StripeJson, environment: str) -> ChannelPayment:
    currency = read_text(intent, "currency")
    state = _read_intent_state(intent)
    failure_code, failure_message = _read_failure(intent, state)
    # Also of an authorized payment: what was captured so far (docs.stripe.com/payments/multicapture).
    has_captures = state in (PaymentState.PAID, PaymentState.AUTHORIZED)
    captured = read_number(intent, "amount_received") if has_captures else 0
    return ChannelPayment(
        reference=read_reference(intent, PAYMENT_NO, environment),
        channel_trade_no=read_text(intent, "id"),
        state=state,
        amount_minor=amounts.from_stripe(read_number(intent, "amount"), currency),
        currency=currency.upper(),
        captured_minor=amounts.from_stripe(captured, currency),
        next_action=_to_redirect(_read_action_page(intent.get("next_action") or {})),
        failure_code=failure_code,
        failure_message=failure_message,
        card=_read_card(intent.get("latest_charge")) if has_captures else None,
    )


def read_charged_card(charge: StripeJson, environment: str) -> ReportedCard | None:
    """The card of a Charge, whose metadata are those of its PaymentIntent
    (docs.stripe.com/payments/payment-intents#storing-information-in-metadata); None for a charge that is not ours, or
    was not made with a card."""
    reference, card = read_reference(charge, PAYMENT_NO, environment), _read_card(charge)
    return ReportedCard(reference, card) if reference and card else None


def _read_card(charge: object) -> PaymentCard | None:
    """docs.stripe.com/api/charges/object, `payment_method_details.card`. `last4` is that of the card, also in a
    wallet."""
    details = charge.get("payment_method_details") if isinstance(charge, Mapping) else None
    card = details.get("card") if isinstance(details, Mapping) else None
    wallet = card.get("wallet") if isinstance(card, Mapping) else None
    return read_card(
        card, last_four="last4", wallet=wallet.get("type") if isinstance(wallet, Mapping) else ""
    )


def _read_intent_state(intent: StripeJson) -> PaymentState:
    status = intent.get("status")
    if status not in _INTENT_STATES:
        raise UnexpectedFormat(f"a payment intent that is {status!r}")
    # A saved card that failed: there is no page on which the customer could try another one.
    if status == "requires_payment_method" and intent.get("last_payment_error") and is_direct(intent):
        return PaymentState.DECLINED
    return _INTENT_STATES[status]


def _read_failure(intent: StripeJson, state: PaymentState) -> tuple[str, str]:
    """Returns failure code and message; both are empty without a failure."""
    if state == PaymentState.CANCELLED:
        return ("expired" if _ended_with_its_page(intent) else ""), ""
    error = intent.get("last_payment_error")
    if not error or state not in (PaymentState.DECLINED, PaymentState.OPEN):
        return "", ""
    declined = to_declined(error)
    return declined.code, declined.message


def _ended_with_its_page(intent: StripeJson) -> bool:
    """Whether the PaymentIntent was cancelled because its Checkout Session expired.

    The PaymentIntent of a page can be cancelled alone only after the customer has paid. The event of the PaymentIntent
    may come before that of the session.
    """
    if intent.get("cancellation_reason") == "expired":
        return True
    was_asked_for = intent.get("cancellation_reason") in _CALLERS_CANCELLATION_REASONS
    was_authorized = bool(intent.get("latest_charge")) and not intent.get("last_payment_error")
    return not is_direct(intent) and not was_asked_for and not was_authorized


def _to_redirect(url: str) -> RedirectAction | None:
    return RedirectAction(url) if url else None


def _read_action_page(action: StripeJson) -> str:
    """Returns the page on which the customer completes the payment, for example with 3-D Secure."""
    kind = action.get("type")
    if kind not in ACTION_PAGES:
        return ""
    return str((action.get(kind) or {}).get(ACTION_PAGES[kind]) or "")
