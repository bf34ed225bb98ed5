"""What Stripe's errors mean: no, not now, or nobody knows (docs.stripe.com/error-low-level)."""

from collections.abc import Mapping

import stripe
import structlog

from channels.base import (
    Declined,
    InvalidRequest,
    NewKeyRequired,
    NotFoundAtChannel,
    NotProcessed,
    UnknownOutcome,
)
from channels.stripe.http import SENT_METHOD, NotConnected

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
# An `invalid_request_error` with one of these codes speaks of the state of the payment or refund, of the customer's way
# to pay or of the account's balance: it is a decline (docs.stripe.com/error-codes). Any other code says that our
# request is wrong.
_DECLINES = _ELSEWHERE | {
    "authentication_required",
    "balance_insufficient",
    "capture_charge_authorization_expired",
    "capture_unauthorized_payment",
    "card_declined",
    "charge_already_captured",
    "charge_already_refunded",
    "charge_disputed",
    "charge_exceeds_source_limit",
    "charge_exceeds_transaction_limit",
    "charge_expired_for_capture",
    "charge_not_refundable",
    "expired_card",
    "insufficient_funds",
    "payment_intent_authentication_failure",
    "payment_intent_payment_attempt_expired",
    "payment_intent_payment_attempt_failed",
    "payment_intent_unexpected_state",
    "payment_method_customer_decline",
    "payment_method_provider_decline",
    "payment_method_provider_timeout",
    "payment_method_unexpected_state",
    "refund_disputed_payment",
}

Answer = Declined | InvalidRequest | NewKeyRequired | NotProcessed | UnknownOutcome | NotFoundAtChannel


def answer_to(error: stripe.StripeError) -> Answer:
    """Decided by the error's type, its code and the header `Stripe-Should-Retry`, never by its text."""
    match error:
        case NotConnected():
            return NotProcessed(f"no connection to Stripe: {error.user_message}")
        case stripe.CardError():
            return _declined(error)
        case stripe.RateLimitError():  # also what another request has locked
            return NotProcessed("Stripe is busy", _retry_after(error))
        case stripe.AuthenticationError() | stripe.PermissionError():
            log.error("stripe.refuses_our_key", request_id=error.request_id, code=error.code)
            return NotProcessed("Stripe refuses our API key")
        case stripe.IdempotencyError():
            # An earlier call with this key had other parameters, and is over: one under way is answered 409.
            log.error("stripe.idempotency_key_reused", request_id=error.request_id)
            return NewKeyRequired("Stripe knows this key with other parameters")
        case stripe.InvalidRequestError():
            return _invalid(error)
    if error.http_status == 409:
        return NotProcessed(
            "Stripe still works on a request with this key", BUSY_SECONDS, is_channel_fault=False
        )
    if _header(error, "idempotent-replayed") == "true":
        return NewKeyRequired(f"Stripe keeps the answer {error.http_status} under this key")
    return UnknownOutcome(f"no answer from Stripe: {type(error).__name__}")


def _declined(error: stripe.CardError) -> Declined:
    detail = error.error.to_dict() if error.error is not None else {}
    return refusal(detail, fallback=error.code or "card_declined")


def refusal(detail: dict[str, object], *, fallback: str = "card_declined") -> Declined:
    """From `error` of an answer, or `last_payment_error` of a payment."""
    code = str(detail.get("decline_code") or detail.get("code") or fallback)
    return Declined(
        _OUR_CODES.get(code, code), str(detail.get("message") or ""), can_fail_over=code in _ELSEWHERE
    )


def _invalid(error: stripe.InvalidRequestError) -> Answer:
    if error.http_status == 404 or error.code == "resource_missing":
        return NotFoundAtChannel()
    if error.code == "lock_timeout":
        return NotProcessed("Stripe is busy with this payment", _retry_after(error), is_channel_fault=False)
    if _should_retry(error) is True:
        return UnknownOutcome("Stripe asks for a repetition")
    is_query = _header(error, SENT_METHOD) == "GET"
    if error.code in _DECLINES and not is_query:
        return Declined(error.code, error.user_message or "", can_fail_over=error.code in _ELSEWHERE)
    if error.param == "expires_at" and not is_query:
        return NewKeyRequired(
            "the session that this key is bound to would have ended already", is_harmless=True
        )
    log.error(
        "stripe.invalid_request",
        code=error.code,
        param=error.param,
        reason=error.user_message,
        request_id=error.request_id,
        is_query=is_query,
    )
    return InvalidRequest(
        error.code or "invalid_request", error.user_message or "", error.param or "", is_query=is_query
    )


def _should_retry(error: stripe.StripeError) -> bool | None:
    return {"true": True, "false": False}.get(_header(error, "stripe-should-retry"))


def _header(error: stripe.StripeError, name: str) -> str:
    """Empty without it. Names of headers are the same in any case."""
    headers: Mapping[str, str] = error.headers or {}
    return {each.lower(): value for each, value in headers.items()}.get(name.lower(), "")


def _retry_after(error: stripe.StripeError) -> float:
    said = _header(error, "retry-after")
    return float(said) if said.isascii() and said.isdigit() else BUSY_SECONDS
