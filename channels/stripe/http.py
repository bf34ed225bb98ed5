"""The way to Stripe's servers: one deadline for everything that an operation of ours sends, no hidden retries.

The SDK's own clients bound each read from the socket; a server that trickles would hold a worker past its lease.
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
# Added to the headers of each answer: what an error means depends on whether it refuses a query or a call.
SENT_METHOD = "X-Sent-Method"

_thread = threading.local()


class NoAnswer(stripe.APIConnectionError):
    """What was sent may have arrived."""

    def __init__(self, message: str) -> None:
        super().__init__(message)  # type: ignore[no-untyped-call]


class NotConnected(NoAnswer):
    """No connection came about: nothing was sent."""


class DeadlineClient(stripe.HTTPClient):
    name = "deadline"

    def __init__(self, timeout_seconds: float) -> None:
        super().__init__()
        self._deadline = Deadline(timeout_seconds)

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None, **_more: Any
    ) -> tuple[Any, int, Mapping[str, str]]:
        left = self._left()
        _thread.deadline = self._deadline
        try:
            with _session().request(
                method,
                url,
                headers=dict(headers or {}),
                data=post_data,
                timeout=(min(CONNECT_SECONDS, left), left),
                stream=True,
                allow_redirects=False,
            ) as answer:
                answer.headers[SENT_METHOD] = method.upper()
                return self._read(answer), answer.status_code, answer.headers
        except (requests.exceptions.ConnectTimeout, requests.exceptions.SSLError) as error:
            raise NotConnected(_said(error)) from error
        except requests.exceptions.ConnectionError as error:
            kind = NotConnected if _was_refused(error) else NoAnswer
            raise kind(_said(error)) from error
        except requests.exceptions.RequestException as error:
            raise NoAnswer(_said(error)) from error

    def close(self) -> None:
        """The connections belong to the thread."""

    def _left(self) -> float:
        try:
            return self._deadline.left()
        except TimeoutError as error:
            raise NotConnected("the time for this operation is over") from error

    def _read(self, answer: requests.Response) -> bytes:
        read = bytearray()
        for chunk in answer.iter_content(CHUNK_BYTES):
            read += chunk
            if len(read) > MAX_ANSWER_BYTES:
                raise NoAnswer("the answer is too large")
        return bytes(read)


def _time_left() -> float:
    """Of the operation that uses this thread's connections now."""
    deadline: Deadline = _thread.deadline
    return deadline.left()


class _Http(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        self.sock = BoundedSocket(self.sock, _time_left)


class _Https(HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        self.sock = BoundedSocket(self.sock, _time_left)


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


class _BoundedAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}


def _session() -> requests.Session:
    session: requests.Session | None = getattr(_thread, "session", None)
    if session is None:
        session = _thread.session = requests.Session()
        # A .netrc of the machine must not replace the key, nor a variable redirect the call.
        session.trust_env = False
        for scheme in ("http://", "https://"):
            session.mount(scheme, _BoundedAdapter())
    return session


def _was_refused(error: requests.exceptions.ConnectionError) -> bool:
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return type(reason).__name__ in ("NewConnectionError", "NameResolutionError")


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]
