"""Talks to the provider of single sign-on: OpenID Connect Core 1.0, the code flow with PKCE (RFC 7636).

Authlib builds the requests and validates the claims, joserfc the signature. The settings are `OIDC_…`.

A provider that hangs must not stop the payment API, which shares the process's threads: at most `MOST_CALLS` sign-ins
wait for it, and the others fail at once (`sso_metadata.py` does the same for the discovery document).
"""

import math
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from django.conf import settings
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError

from staff.sso_metadata import ProviderUnavailable, forget_metadata, load_metadata

# Signatures with a private key of the provider. Not `none`, and not HS256, whose key every holder of the client's
# secret has.
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
MOST_CALLS = 3  # in each process


class SignInRefused(Exception):
    """The provider's answer does not prove who signs in."""


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """Keep `state`, `nonce` and `code_verifier` in the browser's sealed cookie until the callback."""

    url: str
    state: str
    nonce: str = field(repr=False)
    code_verifier: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ProviderAnswer:
    """`claims` are verified. `id_token` is needed to sign out at the provider."""

    claims: Mapping[str, Any]
    id_token: str = field(repr=False)


_calls = threading.BoundedSemaphore(MOST_CALLS)


def build_authorization_request(*, redirect_uri: str, must_reauthenticate: bool) -> AuthorizationRequest:
    """`must_reauthenticate`: the provider checks the person again, even if it knows them. Raises
    `ProviderUnavailable`."""
    nonce, code_verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
    more: dict[str, Any] = {}
    if must_reauthenticate:
        more["prompt"] = "login"
    if (max_age := _get_max_age(must_reauthenticate)) is not None:
        more["max_age"] = max_age
    if settings.OIDC_ACR_VALUES:
        more["acr_values"] = " ".join(settings.OIDC_ACR_VALUES)
    with _open_session(redirect_uri) as session:
        url, state = session.create_authorization_url(  # type: ignore[no-untyped-call]
            load_metadata().document["authorization_endpoint"],
            nonce=nonce,
            code_verifier=code_verifier,
            **more,
        )
    return AuthorizationRequest(url, state, nonce, code_verifier)


def redeem_code(
    *, code: str, redirect_uri: str, nonce: str, code_verifier: str, reauthenticated_since: float | None
) -> ProviderAnswer:
    """Exchanges the code for the person's claims. `reauthenticated_since` is the time of the request that demanded
    another check of the person, in seconds since 1970. Raises `ProviderUnavailable` and `SignInRefused`."""
    document = load_metadata().document
    with _limit_calls(), _open_session(redirect_uri) as session:
        try:
            token = session.fetch_token(  # type: ignore[no-untyped-call]
                document["token_endpoint"], code=code, code_verifier=code_verifier, allow_redirects=False
            )
        except AuthlibBaseError as error:  # such as a code that was used
            raise SignInRefused(f"token endpoint: {error}") from error
        except (requests.RequestException, ValueError) as error:
            raise ProviderUnavailable(str(error)) from error
        id_token = token.get("id_token")
        if not isinstance(id_token, str):
            raise SignInRefused("the token endpoint sent no id_token")
        claims = verify_id_token(
            id_token,
            nonce=nonce,
            access_token=token.get("access_token"),
            checked_since=_get_earliest_check(reauthenticated_since),
        )
        if "userinfo_endpoint" in document and _lacks_claims(claims):
            claims = {**_read_userinfo(session, document["userinfo_endpoint"], claims["sub"]), **claims}
    return ProviderAnswer(claims, id_token)


def build_logout_address(*, id_token: str, return_to: str) -> str:
    """Returns where the browser signs out at the provider (OpenID Connect RP-Initiated Logout 1.0); empty if the
    provider has no such address or does not answer."""
    try:
        address: str = load_metadata().document.get("end_session_endpoint", "")
    except ProviderUnavailable:
        return ""
    parameters = {
        "id_token_hint": id_token,
        "client_id": settings.OIDC_CLIENT_ID,
        "post_logout_redirect_uri": return_to,
    }
    return f"{address}{'&' if '?' in address else '?'}{urlencode(parameters)}" if address else ""


def verify_id_token(
    id_token: str, *, nonce: str, access_token: str | None, checked_since: float | None
) -> dict[str, Any]:
    """Returns the claims. Checks what OpenID Connect Core 1.0, section 3.1.3.7 demands. With `checked_since`, the
    provider must have checked the person since that time, and say so in `auth_time`. Raises `SignInRefused`."""
    expected: Any = {
        "iss": {"essential": True, "value": settings.OIDC_ISSUER},
        "aud": {"essential": True, "value": settings.OIDC_CLIENT_ID},
        "nonce": {"essential": True, "value": nonce},
    }
    known = {"nonce": nonce, "client_id": settings.OIDC_CLIENT_ID, "access_token": access_token}
    try:
        token = _check_signature(id_token)
        claims = CodeIDToken(token.claims, token.header, expected, known)
        claims.validate(leeway=settings.OIDC_CLOCK_SKEW_SECONDS)  # type: ignore[no-untyped-call]
    except (JoseError, AuthlibBaseError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise SignInRefused(f"id_token: {error!r}") from error
    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        raise SignInRefused("id_token: the subject is not a text of at most 255 characters")
    if checked_since is not None:
        auth_time = read_auth_time(claims)
        if auth_time is None:
            raise SignInRefused("id_token: no auth_time, although max_age was requested")
        if auth_time < checked_since - settings.OIDC_CLOCK_SKEW_SECONDS:
            raise SignInRefused("id_token: the provider did not check the person again")
    return dict(claims)


def read_auth_time(claims: Mapping[str, Any]) -> float | None:
    """Returns when the provider checked the person, in seconds since 1970; None when it does not say so. A provider
    must say it when the request has `max_age` (OpenID Connect Core 1.0, section 2), and may leave it out otherwise."""
    auth_time = claims.get("auth_time")
    if isinstance(auth_time, bool) or not isinstance(auth_time, int | float) or not math.isfinite(auth_time):
        return None
    return float(auth_time)


def _check_signature(id_token: str) -> jwt.Token:
    """Reads the keys again when the token names one that is not known: the provider has rotated them."""
    algorithms = list(ALGORITHMS)
    try:
        return jwt.decode(id_token, load_metadata().keys, algorithms=algorithms)
    except InvalidKeyIdError:
        forget_metadata()
        return jwt.decode(id_token, load_metadata().keys, algorithms=algorithms)


def _lacks_claims(claims: Mapping[str, Any]) -> bool:
    return "email" not in claims or find_claim(claims, settings.OIDC_GROUPS_CLAIM) is None


def find_claim(claims: Mapping[str, Any], path: str) -> Any:
    """Returns the claim of this name or, if there is none, the one to which the dots lead; None without one."""
    if path in claims:
        return claims[path]
    first, _dot, rest = path.partition(".")
    inner = claims.get(first)
    return find_claim(inner, rest) if rest and isinstance(inner, dict) else None


def _read_userinfo(session: OAuth2Session, address: str, subject: str) -> dict[str, Any]:
    try:
        response = session.get(address, allow_redirects=False)
        response.raise_for_status()
        userinfo = response.json()
    except AuthlibBaseError as error:
        raise SignInRefused(f"userinfo: {error}") from error
    except (requests.RequestException, ValueError) as error:
        raise ProviderUnavailable(f"userinfo: {error}") from error
    if not isinstance(userinfo, dict) or userinfo.get("sub") != subject:
        raise SignInRefused("userinfo: it is about another person than the id_token")
    return userinfo


def _get_max_age(must_reauthenticate: bool) -> int | None:
    if must_reauthenticate:
        return 0
    return settings.OIDC_MAX_AGE_SECONDS or None


def _get_earliest_check(reauthenticated_since: float | None) -> float | None:
    if reauthenticated_since is not None:
        return reauthenticated_since
    return time.time() - settings.OIDC_MAX_AGE_SECONDS if settings.OIDC_MAX_AGE_SECONDS else None


def _open_session(redirect_uri: str) -> OAuth2Session:
    supported = load_metadata().document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    method = "client_secret_basic" if "client_secret_basic" in supported else "client_secret_post"
    return OAuth2Session(  # type: ignore[no-untyped-call]
        client_id=settings.OIDC_CLIENT_ID,
        client_secret=settings.OIDC_CLIENT_SECRET,
        token_endpoint_auth_method=method,
        scope=" ".join(settings.OIDC_SCOPES),
        redirect_uri=redirect_uri,
        code_challenge_method="S256",
        default_timeout=settings.OIDC_TIMEOUT_SECONDS,
    )


@contextmanager
def _limit_calls() -> Iterator[None]:
    """Raises `ProviderUnavailable` at once while too many sign-ins wait for the provider."""
    if not _calls.acquire(blocking=False):
        raise ProviderUnavailable(f"{MOST_CALLS} sign-ins wait for the provider")
    try:
        yield
    finally:
        _calls.release()
