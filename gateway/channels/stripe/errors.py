"""What Stripe's errors mean: no, not now, or nobody knows (docs.stripe.com/error-low-level)."""

import stripe
import structlog

from gateway.channels.base import Declined, Missing, NotSent, Unknown
from gateway.channels.stripe.http import NotConnected

log = structlog.get_logger(__name__)

BUSY_SECONDS = 1.0

# Decline codes whose names differ from ours; the others are taken as they are.
_OUR_CODES = {
    "generic_decline": "card_declined",
    "do_not_honor": "card_declined",
    "transaction_not_allowed": "card_declined",
    "incorrect_number": "invalid_card",
    "invalid_number": "invalid_card",
    "incorrect_cvc": "invalid_card",
    "invalid_cvc": "invalid_card",
    "invalid_expiry_month": "invalid_card",
    "invalid_expiry_year": "invalid_card",
    "fraudulent": "suspected_fraud",
    "highest_risk_level": "suspected_fraud",
    "stolen_card": "card_blocked",
    "lost_card": "card_blocked",
    "pickup_card": "card_blocked",
}
# The way to the issuer failed, or this account does not take such a payment: says nothing about another channel.
_ELSEWHERE = frozenset(
    {
        "processing_error",
        "issuer_not_available",
        "try_again_later",
        "reenter_transaction",
        "card_not_supported",
        "currency_not_supported",
        "payment_intent_invalid_currency",
        "amount_too_large",
        "amount_too_small",
        "payment_method_not_available",
    }
)


def answer_to(error: stripe.StripeError) -> Declined | NotSent | Unknown | Missing:
    """Decided by the error's type, its code and the header `Stripe-Should-Retry`, never by its text."""
    match error:
        case NotConnected():
            return NotSent(f"no connection to Stripe: {error.user_message}")
        case stripe.CardError():
            return _declined(error)
        case stripe.RateLimitError():  # also what another request has locked
            return NotSent("Stripe is busy", _retry_after(error))
        case stripe.AuthenticationError() | stripe.PermissionError():
            log.error("stripe.refuses_our_key", request_id=error.request_id, code=error.code)
            return NotSent("Stripe refuses our API key")
        case stripe.IdempotencyError():
            # An earlier call with this key had other parameters: whatever that one did stands, and is to be asked for.
            log.error("stripe.idempotency_key_reused", request_id=error.request_id)
            return Unknown("Stripe knows this key with other parameters", channel_fault=False)
        case stripe.InvalidRequestError():
            return _invalid(error)
    if error.http_status == 409:
        return NotSent("Stripe still works on a request with this key", BUSY_SECONDS, channel_fault=False)
    return Unknown(f"no answer from Stripe: {type(error).__name__}")


def _declined(error: stripe.CardError) -> Declined:
    detail = error.error.to_dict() if error.error is not None else {}
    return refusal(detail, fallback=error.code or "card_declined")


def refusal(detail: dict[str, object], *, fallback: str = "card_declined") -> Declined:
    """From `error` of an answer, or `last_payment_error` of a payment."""
    code = str(detail.get("decline_code") or detail.get("code") or fallback)
    return Declined(
        _OUR_CODES.get(code, code), str(detail.get("message") or ""), elsewhere=code in _ELSEWHERE
    )


def _invalid(error: stripe.InvalidRequestError) -> Declined | NotSent | Unknown | Missing:
    if error.http_status == 404 or error.code == "resource_missing":
        return Missing()
    if error.code == "lock_timeout":
        return NotSent("Stripe is busy with this payment", _retry_after(error), channel_fault=False)
    if _should_retry(error) is True:
        return Unknown("Stripe asks for a repetition")
    code = error.code or "invalid_request"
    return Declined(code, error.user_message or "", elsewhere=code in _ELSEWHERE)


def _should_retry(error: stripe.StripeError) -> bool | None:
    said = {name.lower(): value for name, value in (error.headers or {}).items()}.get("stripe-should-retry")
    return {"true": True, "false": False}.get(said or "")


def _retry_after(error: stripe.StripeError) -> float:
    said = {name.lower(): value for name, value in (error.headers or {}).items()}.get("retry-after", "")
    return float(said) if said.isascii() and said.isdigit() else BUSY_SECONDS
