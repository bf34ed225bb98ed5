"""Errors of the API about merchants, API keys and signatures."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

from common.errors import ApiError, Retry

CHALLENGE = 'Signature realm="payment-platform", headers="X-API-Key X-Signature X-Timestamp X-Nonce"'


class Unauthenticated(ApiError):
    """Base of the 401 errors. HTTP requires a WWW-Authenticate header in each of them."""

    def __init__(self, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(details, headers={"WWW-Authenticate": CHALLENGE})


class InvalidCredentials(Unauthenticated):
    """One answer for an unknown, revoked, expired or retired key and for a wrong signature. For a usable test key,
    `details.canonical_string` shows the text that we signed."""

    status, code, error_code = 401, 40100, "invalid_credentials"
    text = _(
        "The API key or the signature is not valid. Check the key, the secret and the text that you sign."
    )
    retry = Retry.CORRECTED
    advice = (
        "Check key, secret and signature. For a test key, `details.canonical_string` is the text that "
        "we signed: compare it with yours."
    )


class CredentialsIncomplete(Unauthenticated):
    """`details` maps each missing or malformed header to its problem."""

    status, code, error_code = 401, 40101, "credentials_incomplete"
    text = _("Authentication headers are missing or malformed: see details for the headers.")
    retry = Retry.CORRECTED
    advice = "Send the headers that `details` names."


class TimestampOutOfRange(Unauthenticated):
    status, code, error_code = 401, 40102, "timestamp_out_of_range"
    text = _("X-Timestamp is too far from our clock. Check yours and sign again.")
    retry = Retry.CORRECTED
    advice = "Set your clock (NTP) and sign again; `details.server_time` is ours."


class NonceReused(Unauthenticated):
    status, code, error_code = 401, 40103, "nonce_reused"
    text = _("This X-Nonce has been used. Send a new one with each request, and sign again.")
    retry = Retry.CORRECTED
    advice = "Make a new random `X-Nonce` and sign again. To repeat a write, send it with an Idempotency-Key."


class InsufficientScope(ApiError):
    status, code, error_code = 403, 40301, "insufficient_scope"
    text = _("This API key lacks the scope in details. Use a key that has it.")
    retry = Retry.NO
    advice = "Use a key that has `details.required_scope`."


class KeyWiderThanIssuer(ApiError):
    """A restricted key cannot make a key with fewer restrictions. `details` names the restrictions of both."""

    status, code, error_code = 403, 40304, "key_wider_than_issuer"
    text = _("A restricted API key cannot issue or rotate a key with fewer restrictions. See details.")
    retry = Retry.CORRECTED
    advice = "Ask for no more than the key that signs has, or sign with an unrestricted key."


class MerchantSuspended(ApiError):
    status, code, error_code = 403, 40302, "merchant_suspended"
    text = _("This merchant is suspended. Please contact support.")
    retry = Retry.NO
    advice = "Contact support."


class AddressNotAllowed(ApiError):
    status, code, error_code = 403, 40303, "address_not_allowed"
    text = _(
        "This API key is not allowed from this IP address. Call from an allowed address, or use another key."
    )
    retry = Retry.NO
    advice = (
        "Call from an address on the key's list, or use another key; `details.address` is the one we saw."
    )


class RateLimited(ApiError):
    status, code, error_code = 429, 42900, "rate_limited"
    text = _("Too many requests with this API key. Wait for the seconds in Retry-After, then repeat.")
    retry = Retry.SAME
    advice = "Wait `Retry-After` seconds, then repeat."


class LastManagingKey(ApiError):
    status, code, error_code, is_final_answer = 409, 40951, "last_managing_key", True
    text = _("This is the last API key that can manage keys from any address. Issue another one first.")
    retry = Retry.NO
    advice = "Issue another key with `keys:manage` and no restriction first."


class KeyNotUsable(ApiError):
    status, code, error_code, is_final_answer = 409, 40952, "api_key_not_usable", True
    text = _("This API key is revoked, expired or already rotated. Use its successor, or issue a new key.")
    retry = Retry.NO
    advice = "Use the key's successor, or issue a new key."


class TooManyKeys(ApiError):
    status, code, error_code, is_final_answer = 409, 40953, "too_many_api_keys", True
    text = _("There are too many usable API keys. Revoke those that you no longer need.")
    retry = Retry.NO
    advice = "Revoke keys that are no longer used."


class EmailTaken(ApiError):
    status, code, error_code, is_final_answer = 409, 40954, "email_taken", True
    text = _("A merchant with this email exists already. Use that one, or another email.")
    retry = Retry.CORRECTED
    advice = "Use the merchant that exists, or another email."
