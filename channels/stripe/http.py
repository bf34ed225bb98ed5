"""The HTTP client of Stripe's SDK: one deadline for all requests of an operation, no retries.

The SDK's own clients limit each read from the socket. With them, a server that sends a byte now and then would hold a
worker longer than its lease.
"""

import threading
from collections.abc import Mapping
from typing import Any

import requests
import stripe
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from common.deadlines import BoundedSocket, Deadline

CONNECT_SECONDS = 3.0
MAX_ANSWER_BYTES = 8 * 1024 * 1024
CHUNK_BYTES = 64 * 1024
# Added to the headers of each answer: an error means something else when it refuses a query (GET).
SENT_METHOD = "X-Sent-Method"

_thread = threading.local()


class AnswerLost(stripe.APIConnectionError):
    """The request may have arrived; its answer did not."""

    def __init__(self, message: str) -> None:
        super().__init__(message)  # type: ignore[no-untyped-call]


class NotConnected(AnswerLost):
    """There was no connection: nothing was sent."""


class DeadlineClient(stripe.HTTPClient):
    name = "deadline"

    def __init__(self, timeout_seconds: float) -> None:
        super().__init__()
        self._deadline = Deadline(timeout_seconds)

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None, **_more: Any
    ) -> tuple[Any, int, Mapping[str, str]]:
        seconds_left = self._read_seconds_left()
        _thread.deadline = self._deadline
        try:
            with _get_session().request(
                method,
                url,
                headers=dict(headers or {}),
                data=post_data,
                timeout=(min(CONNECT_SECONDS, seconds_left), seconds_left),
                stream=True,
                allow_redirects=False,
            ) as answer:
                answer.headers[SENT_METHOD] = method.upper()
                return self._read_body(answer), answer.status_code, answer.headers
        except (requests.exceptions.ConnectTimeout, requests.exceptions.SSLError) as error:
            raise NotConnected(_describe(error)) from error
        except requests.exceptions.ConnectionError as error:
            kind = NotConnected if _is_refused(error) else AnswerLost
            raise kind(_describe(error)) from error
        except requests.exceptions.RequestException as error:
            raise AnswerLost(_describe(error)) from error

    def close(self) -> None:
        """Keeps the connections: they belong to the thread."""

    def _read_seconds_left(self) -> float:
        try:
            return self._deadline.remaining_seconds()
        except TimeoutError as error:
            raise NotConnected("the time for this operation is over") from error

    def _read_body(self, answer: requests.Response) -> bytes:
        read = bytearray()
        for chunk in answer.iter_content(CHUNK_BYTES):
            read += chunk
            if len(read) > MAX_ANSWER_BYTES:
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


def _get_session() -> requests.Session:
    session: requests.Session | None = getattr(_thread, "session", None)
    if session is None:
        session = _thread.session = requests.Session()
        # So that no .netrc replaces the key, and no environment variable sends the call through a proxy.
        session.trust_env = False
        for scheme in ("http://", "https://"):
            session.mount(scheme, _BoundedAdapter())
    return session


def _is_refused(error: requests.exceptions.ConnectionError) -> bool:
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return type(reason).__name__ in ("NewConnectionError", "NameResolutionError")


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]
