"""Authenticates a signed request. See `authenticate` for the order of the checks."""

import datetime as dt
import functools
import ipaddress
from collections.abc import Callable

import structlog
from django.conf import settings
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from common import crypto
from common.errors import ApiError
from merchants import errors, keys, metrics, selectors, services, throttling
from merchants.credentials import RequestCredentials, read_credentials
from merchants.known_keys import remember_key
from merchants.models import ApiKey, Environment, MerchantStatus
from merchants.principal import Principal
from merchants.selectors import PresentedKey
from merchants.signing import compute_signature

MAX_CLOCK_SKEW_SECONDS = 300

log = structlog.get_logger(__name__)


class SignatureAuthentication(BaseAuthentication):
    """Django REST framework's authentication class. It sets `request.user` to the `Principal`.

    A view can have a method `name_prefetched_value(principal)`, which returns a name in Redis. Its value is read in the
    same round trip as the rate limit, and becomes `request.auth`.
    """

    def authenticate(self, request: Request) -> tuple[Principal, bytes | None]:
        view = (request.parser_context or {}).get("view")
        name_value = getattr(view, "name_prefetched_value", None)
        try:
            principal, value = authenticate(read_credentials(request._request), name_value=name_value)
        except ApiError as error:
            metrics.REFUSED.labels(error.error_code).inc()
            raise
        structlog.contextvars.bind_contextvars(
            merchant_id=str(principal.merchant_id),
            environment=principal.environment,
            key_id=str(principal.key_id),
        )
        return principal, value

    def authenticate_header(self, request: Request) -> str:
        return errors.CHALLENGE


def authenticate(
    credentials: RequestCredentials, *, name_value: Callable[[Principal], str | None] | None = None
) -> tuple[Principal, bytes | None]:
    """Returns the caller, and the value in Redis that `name_value` names. Runs the checks in this order, and raises the
    `ApiError` of the first that fails:

    1. The headers are there and well formed (`read_credentials`, before).
    2. The key exists, the signature is right, the key is usable: one answer for all three, after the same work, so that
       neither answer nor time reveals which keys exist.
    3. The timestamp is fresh, by the database's clock, which is the same for all hosts.
    4. The merchant is active and the address is allowed. Only the key's owner may learn this, so it follows check 2.
    5. The rate limit and the nonce. They come last, so that nobody can use up those of another merchant.
    """
    presented = _require_valid_key(credentials)
    key = presented.key
    remember_key(credentials.api_key, key.merchant_id)
    if not credentials.is_demo:
        _require_fresh_timestamp(credentials, presented.now)
    if presented.merchant_status != MerchantStatus.ACTIVE:
        raise errors.MerchantSuspended
    if key.allowed_ips and not _is_within(credentials.address, key.allowed_ips):
        raise errors.AddressNotAllowed({"address": credentials.address})
    principal = Principal(
        merchant_id=key.merchant_id,
        environment=key.environment,
        key_id=key.pk,
        scopes=frozenset(key.scopes),
        is_demo=credentials.is_demo,
        authenticated_at=presented.now,
    )
    value = throttling.count_request(key_id=key.pk, read_name=name_value(principal) if name_value else None)
    if credentials.parts.needs_nonce and not credentials.is_demo:
        services.spend_nonce(key_id=key.pk, nonce=credentials.parts.nonce)
    return principal, value


def _require_valid_key(credentials: RequestCredentials) -> PresentedKey:
    """Raises `InvalidCredentials`."""
    presented = selectors.find_presented_key(credentials.api_key)
    is_valid = _is_signature_valid(credentials, presented.key if presented else None)
    if presented is None or not is_valid or not presented.key.is_usable_at(presented.now):
        log.info(
            "authentication.refused", key=presented.key.hint if presented else None, signature_valid=is_valid
        )
        raise errors.InvalidCredentials(_refusal_details(credentials, presented))
    return presented


def _is_signature_valid(credentials: RequestCredentials, key: ApiKey | None) -> bool:
    """Unseals a secret and computes one MAC also when there is no such key, so that time does not reveal it."""
    if credentials.api_key == keys.DEMO_KEY:  # a public key: its timing reveals nothing
        is_allowed = credentials.is_demo and key is not None and key.environment == Environment.TEST
        return is_allowed and crypto.equals_in_constant_time(credentials.signature, keys.DEMO_SIGNATURE)
    sealed_secret = key.sealed_secret if key else _decoy_secret(settings.PAYMENT_MASTER_KEYS[0])
    expected = compute_signature(credentials.parts, secret=crypto.unseal(sealed_secret))
    return crypto.equals_in_constant_time(expected, credentials.signature.lower()) and key is not None


@functools.cache
def _decoy_secret(_master_key: str) -> str:
    """Returns a sealed secret to use when the key does not exist. A new master key gets a new one."""
    return crypto.seal(keys.generate_key(Environment.TEST).secret)


def _refusal_details(credentials: RequestCredentials, presented: PresentedKey | None) -> dict[str, str]:
    """Returns the canonical string that we expected to be signed, for a usable test key only. It holds nothing that was
    not in the request.

    The string is built for every refusal, so that time does not reveal which keys exist.
    """
    canonical = credentials.parts.canonical().decode("latin-1")
    is_shown = (
        presented is not None
        and presented.key.environment == Environment.TEST
        and presented.key.is_usable_at(presented.now)
        and credentials.api_key != keys.DEMO_KEY
    )
    return {"canonical_string": canonical} if is_shown else {}


def _require_fresh_timestamp(credentials: RequestCredentials, now: dt.datetime) -> None:
    """Raises `TimestampOutOfRange`."""
    server_time = now.timestamp()
    if abs(server_time - int(credentials.parts.timestamp)) > MAX_CLOCK_SKEW_SECONDS:
        raise errors.TimestampOutOfRange(
            {"server_time": int(server_time), "tolerance_seconds": MAX_CLOCK_SKEW_SECONDS}
        )


def _is_within(address: str, networks: list[str]) -> bool:
    try:
        ip_address = ipaddress.ip_address(address)
    except ValueError:  # a Unix socket has no address, so it is in no network
        return False
    ip_address = getattr(ip_address, "ipv4_mapped", None) or ip_address
    return any(ip_address in ipaddress.ip_network(network) for network in networks)
