"""What the API answers about merchants, keys and signatures."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

from common.errors import ApiError

CHALLENGE = 'Signature realm="payment-platform", headers="X-API-Key X-Signature X-Timestamp X-Nonce"'


class Unauthenticated(ApiError):
    """Base of the 401s: HTTP wants each of them to say how to authenticate."""

    def __init__(self, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(details, headers={"WWW-Authenticate": CHALLENGE})


class InvalidCredentials(Unauthenticated):
    """One answer for an unknown, revoked, expired or retired key and a wrong signature: it tells nothing."""

    status, code, error_code = 401, 40100, "invalid_credentials"
    text = _("The API key or the signature is not valid.")


class CredentialsIncomplete(Unauthenticated):
    """`details` maps each header that is missing or malformed to what is wrong with it."""

    status, code, error_code = 401, 40101, "credentials_incomplete"
    text = _("Authentication headers are missing or malformed: see details for the headers.")


class TimestampOutOfRange(Unauthenticated):
    status, code, error_code = 401, 40102, "timestamp_out_of_range"
    text = _("X-Timestamp is too far from our clock. Check yours and sign again.")


class NonceReused(Unauthenticated):
    status, code, error_code = 401, 40103, "nonce_reused"
    text = _("This X-Nonce has been used. Send a new one with each request, and sign again.")


class InsufficientScope(ApiError):
    status, code, error_code = 403, 40301, "insufficient_scope"
    text = _("This API key may not do that: a scope is missing.")


class KeyWiderThanIssuer(ApiError):
    """A restricted key makes no key with fewer restrictions. `details` names both sides."""

    status, code, error_code = 403, 40304, "key_wider_than_issuer"
    text = _("A restricted API key cannot issue or rotate a key with fewer restrictions: see details.")


class MerchantSuspended(ApiError):
    status, code, error_code = 403, 40302, "merchant_suspended"
    text = _("This merchant is suspended. Please contact support.")


class AddressNotAllowed(ApiError):
    status, code, error_code = 403, 40303, "address_not_allowed"
    text = _("This API key may not be used from this IP address.")


class RateLimited(ApiError):
    status, code, error_code = 429, 42900, "rate_limited"
    text = _("Too many requests with this API key. Wait as long as Retry-After says.")


class LastManagingKey(ApiError):
    status, code, error_code, is_final_answer = 409, 40951, "last_managing_key", True
    text = _("This is the last API key that can manage keys from any address. Issue another one first.")


class KeyNotUsable(ApiError):
    status, code, error_code, is_final_answer = 409, 40952, "api_key_not_usable", True
    text = _("This API key is revoked, expired or already rotated.")


class TooManyKeys(ApiError):
    status, code, error_code, is_final_answer = 409, 40953, "too_many_api_keys", True
    text = _("There are too many usable API keys: revoke those you no longer need.")


class EmailTaken(ApiError):
    status, code, error_code, is_final_answer = 409, 40954, "email_taken", True
    text = _("There is a merchant with this email already.")
