"""Converts Stripe's errors into results of the port (docs.stripe.com/error-low-level, docs.stripe.com/error-codes)."""

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
from channels.stripe.fields import StripeJson
from channels.stripe.http import SENT_METHOD, StripeNotConnected

log = structlog.get_logger(__name__)

BUSY_SECONDS = 1.0
# 403: the account in the header Stripe-Account does not exist, or is not connected any more
# (docs.stripe.com/error-codes#account-invalid).
ACCOUNT_INVALID = "account_invalid"
# 429: another request, or Stripe itself, works on the object (docs.stripe.com/rate-limits#object-lock-timeouts).
LOCK_TIMEOUT = "lock_timeout"

# Decline codes that have another name in the port; the others keep theirs (docs.stripe.com/declines/codes).
_PORT_CODES = {
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
# The issuer was not reached, or this account does not accept such a payment: a fallback channel may succeed.
_FAILOVER_CODES = frozenset(
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
# An `invalid_request_error` with one of these codes is a decline: it is about the state of the payment or refund, the
# customer's payment method or the account's balance (docs.stripe.com/error-codes). Any other code says that our request
# is wrong.
_DECLINE_CODES = _FAILOVER_CODES | {
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

ErrorResult = Declined | InvalidRequest | NewKeyRequired | NotProcessed | UnknownOutcome | NotFoundAtChannel


def to_result(error: stripe.StripeError) -> ErrorResult:
    """Decides by the error's type, its code and the headers, never by its text."""
    match error:
        case StripeNotConnected():
            return NotProcessed(f"no connection to Stripe: {error.user_message}")
        case stripe.CardError():
            details = error.error.to_dict() if error.error is not None else {}
            return to_declined(details, default_code=error.code or "card_declined")
        case stripe.RateLimitError() if _read_code(error) == LOCK_TIMEOUT:
            return NotProcessed(
                "Stripe is busy with this payment", _read_retry_after(error), is_channel_fault=False
            )
        case stripe.RateLimitError():
            return NotProcessed("Stripe is busy", _read_retry_after(error))
        case stripe.PermissionError() if _read_code(error) == ACCOUNT_INVALID:
            log.error("stripe.no_access_to_account", request_id=error.request_id)
            return NotProcessed("Stripe gives the platform no access to this connected account")
        case stripe.AuthenticationError() | stripe.PermissionError():
            log.error("stripe.refuses_our_key", request_id=error.request_id, code=error.code)
            return NotProcessed("Stripe refuses our API key")
        case stripe.IdempotencyError():
            # An earlier call with this key had other parameters. It is over: during a call, Stripe answers 409.
            log.error("stripe.idempotency_key_reused", request_id=error.request_id)
            return NewKeyRequired("Stripe knows this key with other parameters")
        case stripe.InvalidRequestError():
            return _to_invalid_request_result(error)
    if error.http_status == 409:
        return NotProcessed(
            "Stripe still works on a request with this key", BUSY_SECONDS, is_channel_fault=False
        )
    if _read_header(error, "idempotent-replayed") == "true":
        return NewKeyRequired(f"Stripe keeps the answer {error.http_status} under this key")
    return UnknownOutcome(f"no answer from Stripe: {type(error).__name__}")


def to_declined(details: StripeJson, *, default_code: str = "card_declined") -> Declined:
    """Reads `error` of an answer, or `last_payment_error` of a payment."""
    code = str(details.get("decline_code") or details.get("code") or default_code)
    message = str(details.get("message") or "")
    return Declined(_PORT_CODES.get(code, code), message, can_fail_over=code in _FAILOVER_CODES)


def _to_invalid_request_result(error: stripe.InvalidRequestError) -> ErrorResult:
    if error.code == "resource_missing":
        return NotFoundAtChannel()
    if _read_header(error, "stripe-should-retry") == "true":
        return UnknownOutcome("Stripe asks for a repetition")
    is_query = _read_header(error, SENT_METHOD) == "GET"
    if error.code in _DECLINE_CODES and not is_query:
        return Declined(error.code, error.user_message or "", can_fail_over=error.code in _FAILOVER_CODES)
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


def _read_code(error: stripe.StripeError) -> str:
    """The code as Stripe sent it: the SDK leaves `error.code` empty for a 403 and a 429."""
    return str(error.error.code or "") if error.error is not None else ""


def _read_header(error: stripe.StripeError, name: str) -> str:
    """Returns the value of a header, whatever the case of its name; empty without it."""
    headers: Mapping[str, str] = error.headers or {}
    return {each.lower(): value for each, value in headers.items()}.get(name.lower(), "")


def _read_retry_after(error: stripe.StripeError) -> float:
    value = _read_header(error, "retry-after")
    return float(value) if value.isascii() and value.isdigit() else BUSY_SECONDS
