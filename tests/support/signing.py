"""A merchant's program for tests. Signs as docs/SIGNING.md says, without our own code.

    client = SignedClient(new_key.key, new_key.secret)
    answer = client.post("/api/v1/payments", {"order_no": "A-1", …}, idempotency_key="first-try")
    assert answer.status_code == 200, answer.content

Further keyword arguments are headers, underscores for dashes: `Accept_Language="en"`.
`X_Signature=None` leaves a header out; any other value replaces what would have been sent.
`demo_client()` sends the literal key and signature of the quick start.
"""

import hashlib
import hmac
import json as json_module
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

from django.http import HttpResponse
from django.test import Client
from django.test.client import ClientHandler

from payment_platform.api_docs.errors import error_codes

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as TestResponse
else:
    TestResponse = HttpResponse

NO_BODY = object()


class SignedClient:
    def __init__(self, key: str, secret: str, *, remote_addr: str = "127.0.0.1") -> None:
        self.key, self.secret, self.remote_addr = key, secret, remote_addr
        # Shared by all requests: building the chain of middleware takes a tenth of the time of a request.
        self._handler = ClientHandler(enforce_csrf_checks=False)
        self._loading = threading.Lock()

    def get(self, path: str, **headers: str | None) -> TestResponse:
        return self.request("GET", path, **headers)

    def post(
        self, path: str, json: Any = NO_BODY, *, idempotency_key: str | None = None, **headers: str | None
    ) -> TestResponse:
        return self.request("POST", path, json, idempotency_key=idempotency_key, **headers)

    def patch(
        self, path: str, json: Any = NO_BODY, *, idempotency_key: str | None = None, **headers: str | None
    ) -> TestResponse:
        return self.request("PATCH", path, json, idempotency_key=idempotency_key, **headers)

    def delete(self, path: str, **headers: str | None) -> TestResponse:
        return self.request("DELETE", path, **headers)

    def request(
        self,
        method: str,
        path: str,
        json: Any = NO_BODY,
        *,
        body: bytes | None = None,
        idempotency_key: str | None = None,
        timestamp: float | None = None,
        nonce: str | None = None,
        **headers: str | None,
    ) -> TestResponse:
        """`json` is encoded, `body` is sent as it is. `path` may hold a query."""
        if body is None:
            body = b"" if json is NO_BODY else json_module.dumps(json, ensure_ascii=False).encode()
        sent = self.signed_headers(
            method, path, body, idempotency_key=idempotency_key, timestamp=timestamp, nonce=nonce
        )
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        answer: TestResponse = self._new_browser().generic(
            method,
            path,
            body,
            content_type="application/json",
            headers={name: value for name, value in sent.items() if value is not None},
            REMOTE_ADDR=self.remote_addr,
            RAW_URI=path,  # as gunicorn sets it
        )
        if answer.status_code >= 400 and answer.content:
            error_code = json_module.loads(answer.content)["error_code"]
            assert error_code in error_codes(), f"{error_code} is missing in docs/ERRORS.md"
        return answer

    def _new_browser(self) -> Client:
        """Without cookies of earlier requests, also of those that other threads send."""
        with self._loading:
            if self._handler._middleware_chain is None:  # type: ignore[attr-defined]
                self._handler.load_middleware()
        browser = Client(raise_request_exception=False)
        browser.handler = self._handler
        return browser

    def signed_headers(
        self,
        method: str,
        path: str,
        body: bytes,
        *,
        idempotency_key: str | None = None,
        timestamp: float | None = None,
        nonce: str | None = None,
    ) -> dict[str, str | None]:
        raw_path, _mark, raw_query = path.partition("?")
        stamp = str(int(time.time() if timestamp is None else timestamp))
        nonce = uuid.uuid4().hex if nonce is None else nonce
        digest = hashlib.sha256(body).hexdigest()
        text = "\n".join(["v1", method, raw_path, raw_query, stamp, nonce, idempotency_key or "", digest])
        mac = hmac.new(self.secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        return {
            "X-API-Key": self.key,
            "X-Signature": f"v1={mac}",
            "X-Timestamp": stamp,
            "X-Nonce": nonce,
            "Idempotency-Key": idempotency_key,
        }


class DemoClient(SignedClient):
    """Sends the literal key and signature of the quick start's curl lines, and nothing else."""

    def signed_headers(
        self,
        method: str,
        path: str,
        body: bytes,
        *,
        idempotency_key: str | None = None,
        timestamp: float | None = None,
        nonce: str | None = None,
    ) -> dict[str, str | None]:
        return {"X-API-Key": self.key, "X-Signature": self.secret, "Idempotency-Key": idempotency_key}


def demo_client() -> DemoClient:
    return DemoClient("test-api-key", "test-signature")
