"""The discovery document and the keys of the provider of single sign-on (OpenID Connect Discovery 1.0).

One thread reads them once an hour, and a failed read is remembered, because a provider that hangs must not use up the
threads of the process. All others fail at once.
"""

import threading
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from django.conf import settings
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

METADATA_SECONDS = 3600
FAILURE_SECONDS = 30
NEEDED_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
ENDPOINTS = (*NEEDED_ENDPOINTS, "userinfo_endpoint", "end_session_endpoint")


class ProviderUnavailable(Exception):
    """The provider does not answer, or not as its specification says. The person can try again."""


@dataclass(frozen=True, slots=True)
class Metadata:
    document: dict[str, Any]
    keys: KeySet
    ends_at: float


@dataclass(frozen=True, slots=True)
class _Failure:
    text: str
    ends_at: float


_known: dict[str, Metadata | _Failure] = {}
_reading = threading.Lock()


def forget_metadata() -> None:
    """The next sign-in reads the provider's discovery document and keys again."""
    _known.clear()


def load_metadata() -> Metadata:
    """Returns the discovery document and the keys, which are read once an hour. Raises `ProviderUnavailable`: at once
    if the last read has just failed, or while another thread reads."""
    issuer: str = settings.OIDC_ISSUER
    known = _get_known(issuer)
    if known is None:
        if not _reading.acquire(blocking=False):
            raise ProviderUnavailable("another sign-in reads the discovery document")
        try:
            known = _get_known(issuer) or _read_and_keep(issuer)
        finally:
            _reading.release()
    if isinstance(known, _Failure):
        raise ProviderUnavailable(known.text)
    return known


def _get_known(issuer: str) -> Metadata | _Failure | None:
    known = _known.get(issuer)
    return known if known is not None and known.ends_at > time.time() else None


def _read_and_keep(issuer: str) -> Metadata | _Failure:
    read: Metadata | _Failure
    try:
        read = _read_metadata(issuer)
    except ProviderUnavailable as error:
        read = _Failure(str(error), time.time() + FAILURE_SECONDS)
    _known[issuer] = read
    return read


def _read_metadata(issuer: str) -> Metadata:
    """Raises `ProviderUnavailable`."""
    document = _read_json(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    if document.get("issuer") != issuer:
        raise ProviderUnavailable(f"the discovery document is of the issuer {document.get('issuer')!r}")
    for name in ENDPOINTS:
        if name in document or name in NEEDED_ENDPOINTS:
            _require_secure(name, document.get(name))
    try:
        keys = KeySet.import_key_set(_read_json(document["jwks_uri"]))  # type: ignore[arg-type]
    except (JoseError, ValueError, KeyError, TypeError) as error:
        raise ProviderUnavailable(f"jwks_uri: {error!r}") from error
    return Metadata(document, keys, time.time() + METADATA_SECONDS)


def _require_secure(name: str, address: object) -> None:
    scheme = urlsplit(address).scheme if isinstance(address, str) else ""
    if scheme != "https" and not (settings.LOCAL_STACK and scheme == "http"):
        raise ProviderUnavailable(f"{name} of the discovery document is not an address with https")


def _read_json(address: str) -> dict[str, Any]:
    try:
        response = requests.get(address, timeout=settings.OIDC_TIMEOUT_SECONDS, allow_redirects=False)
        response.raise_for_status()
        content = response.json()
    except (requests.RequestException, ValueError) as error:
        raise ProviderUnavailable(f"{address}: {error}") from error
    if not isinstance(content, dict):
        raise ProviderUnavailable(f"{address}: not a JSON object")
    return content
