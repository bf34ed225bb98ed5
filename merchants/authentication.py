"""Authenticates a signed request. The checks run in an order that tells an attacker nothing:

the shape of the headers; one statement for the key; the MAC, also for keys that do not exist; only then what
concerns the key's owner alone; last the limit and the nonce, so that nobody spends what is another's.
"""

import datetime as dt
import functools
import ipaddress
import re
from dataclasses import dataclass, field
from urllib.parse import quote

import structlog
from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext as _
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from common import crypto
from common.errors import ApiError
from merchants import errors, keys, metrics, selectors, services, throttling
from merchants.models import ApiKey, Environment, MerchantStatus
from merchants.principal import Principal
from merchants.signing import SignedParts, signature_of

CLOCK_SKEW_SECONDS = 300
# What a header must look like to be worth a look-up. Nothing else gets as far as the database.
SHAPES = {
    "X-API-Key": re.compile(rf"[\x21-\x7e]{{1,{keys.MAX_KEY_LENGTH}}}"),
    "X-Signature": re.compile(r"v1=[0-9a-fA-F]{64}"),
    "X-Timestamp": re.compile(r"[0-9]{1,12}"),
    "X-Nonce": re.compile(r"[\x21-\x7e]{8,128}"),
}
PATH_SAFE = "/~!$&'()*+,;=:@"  # what RFC 3986 lets a path hold unescaped

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request claims, before any of it is believed."""

    api_key: str = field(repr=False)
    signature: str = field(repr=False)
    parts: SignedParts
    address: str

    @property
    def claims_demo(self) -> bool:
        return settings.PAYMENT_DEMO and self.api_key == keys.DEMO_KEY


class SignatureAuthentication(BaseAuthentication):
    """DRF's way in: `request.user` and `request.auth` become the `Principal`."""

    def authenticate(self, request: Request) -> tuple[Principal, Principal]:
        try:
            principal = authenticate(read_credentials(request._request))
        except ApiError as error:
            metrics.REFUSED.labels(error.error_code).inc()
            raise
        structlog.contextvars.bind_contextvars(
            merchant_id=str(principal.merchant_id),
            environment=principal.environment,
            key_id=str(principal.key_id),
        )
        return principal, principal

    def authenticate_header(self, request: Request) -> str:
        return errors.CHALLENGE


def authenticate(credentials: Credentials) -> Principal:
    """Raises an `ApiError` of 401, 403 or 429 unless the request is genuine, fresh and allowed.

    Fresh by the database's clock: a host whose own is wrong neither refuses everybody nor takes what was recorded.
    """
    key, asked_at = selectors.key_presented(credentials.api_key) or (None, None)
    genuine = _is_genuine(credentials, key)
    if key is None or asked_at is None or not genuine or not key.is_usable_at(asked_at):
        log.info("authentication.refused", key=key.hint if key else None, genuine=genuine)
        raise errors.InvalidCredentials(_explanation(credentials, key, asked_at))
    is_demo, now = credentials.claims_demo, asked_at.timestamp()
    if not is_demo and abs(now - int(credentials.parts.timestamp)) > CLOCK_SKEW_SECONDS:
        raise errors.TimestampOutOfRange({"server_time": int(now), "tolerance_seconds": CLOCK_SKEW_SECONDS})
    if key.merchant.status != MerchantStatus.ACTIVE:
        raise errors.MerchantSuspended
    if key.allowed_ips and not _is_within(credentials.address, key.allowed_ips):
        raise errors.AddressNotAllowed({"address": credentials.address})
    throttling.spend(key_id=key.pk)
    if not is_demo and credentials.parts.needs_nonce:
        services.spend_nonce(key_id=key.pk, nonce=credentials.parts.nonce)
    return Principal(
        merchant_id=key.merchant_id,
        environment=key.environment,
        key_id=key.pk,
        scopes=frozenset(key.scopes),
        is_demo=is_demo,
    )


def _is_genuine(credentials: Credentials, key: ApiKey | None) -> bool:
    """Unseals and computes one MAC whether or not there is such a key, so that time does not tell which."""
    if credentials.api_key == keys.DEMO_KEY:  # everyone knows it, so its timing has nothing to tell
        allowed = credentials.claims_demo and key is not None and key.environment == Environment.TEST
        return allowed and crypto.same(credentials.signature, keys.DEMO_SIGNATURE)
    secret = crypto.unseal(key.sealed_secret if key else _decoy(settings.PAYMENT_MASTER_KEYS[0]))
    agrees = crypto.same(signature_of(credentials.parts, secret=secret), credentials.signature.lower())
    return agrees and key is not None


def _explanation(
    credentials: Credentials, key: ApiKey | None, asked_at: dt.datetime | None
) -> dict[str, str]:
    """What we signed, for the holder of a test key that works: it holds nothing that was not in the request. Made for
    every refusal, so that time does not tell which keys exist."""
    canonical = credentials.parts.canonical().decode("latin-1")
    explained = (
        key is not None
        and asked_at is not None
        and key.environment == Environment.TEST
        and key.is_usable_at(asked_at)
        and credentials.api_key != keys.DEMO_KEY
    )
    return {"canonical_string": canonical} if explained else {}


@functools.cache
def _decoy(_master_key: str) -> str:
    """Stands in for the sealed secret of a key that does not exist. Sealed anew for a new master key."""
    return crypto.seal(keys.generate(Environment.TEST).secret)


def read_credentials(request: HttpRequest) -> Credentials:
    """Takes the headers apart. Raises `CredentialsIncomplete` naming what is missing or malformed."""
    given = {name: request.headers.get(name, "") for name in SHAPES}
    credentials = Credentials(
        api_key=given["X-API-Key"],
        signature=given["X-Signature"],
        parts=SignedParts(
            method=str(request.method),
            path=_raw_path(request),
            query=request.META.get("QUERY_STRING", ""),
            timestamp=given["X-Timestamp"],
            nonce=given["X-Nonce"],
            idempotency_key=request.headers.get("Idempotency-Key", ""),
            body=request.body,
        ),
        address=request.META.get("REMOTE_ADDR", ""),
    )
    problems = _problems_of(given, credentials)
    if problems:
        raise errors.CredentialsIncomplete(problems)
    return credentials


def _problems_of(given: dict[str, str], credentials: Credentials) -> dict[str, list[str]]:
    needed = {"X-API-Key", "X-Signature"}
    if not credentials.claims_demo:
        needed |= {"X-Timestamp", "X-Nonce"} if credentials.parts.needs_nonce else {"X-Timestamp"}
    problems: dict[str, list[str]] = {}
    for name, value in given.items():
        if not value:
            if name in needed:
                problems[name] = [_("This header is missing.")]
        elif not credentials.claims_demo and not SHAPES[name].fullmatch(value):
            problems[name] = [_("This header is malformed.")]
    return problems


def _raw_path(request: HttpRequest) -> str:
    """The path as it stood on the wire; web servers that do not tell get it escaped again."""
    target = request.META.get("RAW_URI")
    if target is None:
        sent = request.META.get("SCRIPT_NAME", "") + request.META.get("PATH_INFO", "")
        return quote(sent.encode("latin-1", "replace"), safe=PATH_SAFE)
    path = re.sub(r"^[a-z]+://[^/?]*", "", target, flags=re.IGNORECASE)  # the absolute form that proxies get
    return path.partition("?")[0]


def _is_within(address: str, networks: list[str]) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:  # a Unix socket has no address: then nothing is on the list
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return any((mapped or found) in ipaddress.ip_network(network) for network in networks)
