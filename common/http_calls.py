"""HTTP calls to other systems that end at a deadline, whatever the server does.

Several calls can share one deadline. Nothing is retried, no redirect is followed, no cookie is kept. The threads of a
process share its connections, of which a server may keep many open.
"""

import functools
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from common.deadlines import BoundedSocket, Deadline

CONNECT_SECONDS = 3.0
MAX_ANSWER_BYTES = 8 * 1024 * 1024
CHUNK_BYTES = 64 * 1024

_PARAMETERS = re.compile(r"\?\S*")
_thread = threading.local()

# Hosts, and idle connections of each that are kept for the next calls.
HOSTS, IDLE_CONNECTIONS = 16, 256


class AnswerLost(Exception):
    """The request may have arrived; its answer did not."""


class NotConnected(AnswerLost):
    """There was no connection: nothing was sent."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    status: int
    headers: Mapping[str, str]
    body: bytes


def send_request(
    method: str,
    url: str,
    *,
    deadline: Deadline,
    headers: Mapping[str, str] | None = None,
    body: Any = None,
    max_answer_bytes: int = MAX_ANSWER_BYTES,
) -> HttpAnswer:
    """Sends one request and reads its whole answer, whatever its status. Raises `AnswerLost` and `NotConnected`."""
    try:
        seconds_left = deadline.remaining_seconds()
    except TimeoutError as error:
        raise NotConnected("the time for this operation is over") from error
    _thread.deadline = deadline
    try:
        with _get_session().request(
            method,
            url,
            headers=dict(headers or {}),
            data=body,
            timeout=(min(CONNECT_SECONDS, seconds_left), seconds_left),
            stream=True,
            allow_redirects=False,
        ) as answer:
            return HttpAnswer(answer.status_code, answer.headers, _read_body(answer, max_answer_bytes))
    except (requests.exceptions.ConnectTimeout, requests.exceptions.SSLError) as error:
        raise NotConnected(_describe(error)) from error
    except requests.exceptions.ConnectionError as error:
        kind = NotConnected if _is_refused(error) else AnswerLost
        raise kind(_describe(error)) from error
    except requests.exceptions.RequestException as error:
        raise AnswerLost(_describe(error)) from error


def _read_body(answer: requests.Response, max_bytes: int) -> bytes:
    read = bytearray()
    for chunk in answer.iter_content(CHUNK_BYTES):
        read += chunk
        if len(read) > max_bytes:
            raise AnswerLost("the answer is too large")
    return bytes(read)


def _read_thread_seconds_left() -> float:
    """Returns the time left for the operation that uses this thread's connections now."""
    deadline: Deadline = _thread.deadline
    return deadline.remaining_seconds()


class _BoundedHttpConnection(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        self.sock = BoundedSocket(self.sock, _read_thread_seconds_left)


class _BoundedHttpsConnection(HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        self.sock = BoundedSocket(self.sock, _read_thread_seconds_left)


class _BoundedHttpPool(HTTPConnectionPool):
    ConnectionCls = _BoundedHttpConnection


class _BoundedHttpsPool(HTTPSConnectionPool):
    ConnectionCls = _BoundedHttpsConnection


class _BoundedAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _BoundedHttpPool, "https": _BoundedHttpsPool}


@functools.cache
def _get_session() -> requests.Session:
    session = requests.Session()
    # So that no .netrc adds credentials, and no environment variable sends the call through a proxy.
    session.trust_env = False
    # An account's cookies are not for other accounts, and threads must not change them at the same time.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("http://", "https://"):
        session.mount(scheme, _BoundedAdapter(pool_connections=HOSTS, pool_maxsize=IDLE_CONNECTIONS))
    return session


def _is_refused(error: requests.exceptions.ConnectionError) -> bool:
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return type(reason).__name__ in ("NewConnectionError", "NameResolutionError")


def _describe(error: Exception) -> str:
    """Leaves out the parameters of the address: some providers want their signature there."""
    return _PARAMETERS.sub("?…", f"{type(error).__name__}: {error}")[:300]
