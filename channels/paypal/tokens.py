"""Access tokens (OAuth 2.0 client credentials; developer.paypal.com/api/rest/authentication).

A token is valid for about nine hours. It is kept in the memory of the process until shortly before its end, for each
account. One thread at a time requests the token of an account; the others wait for it.
"""

import base64
import hashlib
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from channels.base import UnexpectedFormat
from channels.paypal.config import PayPalCredentials
from channels.paypal.errors import (
    CredentialsRejected,
    NotSent,
    PayPalError,
    raise_for_status,
    read_json,
)
from channels.paypal.fields import read_text
from common.deadlines import Deadline
from common.http_calls import AnswerLost, send_request

OAUTH_PATH = "/v1/oauth2/token"
MAX_KEPT = 1_000
# A token is renewed so long before its end, so that it does not end while a request with it is on its way.
SPARE_SECONDS = 120.0


@dataclass
class _KeptToken:
    lock: threading.Lock = field(default_factory=threading.Lock)
    value: str = field(default="", repr=False)
    valid_until: float = 0.0  # of the monotonic clock


_kept: OrderedDict[tuple[str, str, str], _KeptToken] = OrderedDict()
_kept_lock = threading.Lock()


def get_token(base: str, credentials: PayPalCredentials, deadline: Deadline, *, rejected: str = "") -> str:
    """Returns a token for the account, a new one in place of the `rejected` one.

    Raises `NotSent` when there is none now, and `CredentialsRejected`.
    """
    kept = _get_kept(base, credentials)
    try:
        is_locked = kept.lock.acquire(timeout=deadline.remaining_seconds())
    except TimeoutError as error:
        raise NotSent("the time for this operation is over") from error
    if not is_locked:
        raise NotSent("another request for an access token takes too long")
    try:
        if not kept.value or kept.value == rejected or time.monotonic() >= kept.valid_until:
            kept.value, seconds = request_token(base, credentials, deadline)
            kept.valid_until = time.monotonic() + seconds - SPARE_SECONDS
        return kept.value
    finally:
        kept.lock.release()


def request_token(base: str, credentials: PayPalCredentials, deadline: Deadline) -> tuple[str, float]:
    """Requests a token, which changes nothing. Returns it and its lifetime in seconds."""
    basic = base64.b64encode(f"{credentials.client_id}:{credentials.client_secret}".encode()).decode()
    headers = {
        "Authorization": f"Basic {basic}",
        "Content-Type": "application/x-www-form-urlencoded",
        "Accept": "application/json",
    }
    try:
        answer = send_request(
            "POST",
            base + OAUTH_PATH,
            deadline=deadline,
            headers=headers,
            body="grant_type=client_credentials",
        )
        if answer.status == 401:
            raise CredentialsRejected("PayPal refuses the client id or the secret")
        raise_for_status(answer)
        body = read_json(answer)
        token, seconds = read_text(body, "access_token"), body.get("expires_in")
        if not token:
            raise UnexpectedFormat("the access token is missing")
    except AnswerLost as error:
        raise NotSent(str(error)) from error
    except (PayPalError, UnexpectedFormat) as error:
        raise NotSent(f"no access token: {error}") from error
    # Without a lifetime, the token serves one operation.
    return token, float(seconds) if isinstance(seconds, int) else 0.0


def forget_tokens() -> None:
    with _kept_lock:
        _kept.clear()


def _get_kept(base: str, credentials: PayPalCredentials) -> _KeptToken:
    """The one of the account, which moves to the end: the least used ones are forgotten first."""
    key = (base, credentials.client_id, hashlib.sha256(credentials.client_secret.encode()).hexdigest())
    with _kept_lock:
        kept = _kept.setdefault(key, _KeptToken())
        _kept.move_to_end(key)
        while len(_kept) > MAX_KEPT:
            _kept.popitem(last=False)
        return kept
