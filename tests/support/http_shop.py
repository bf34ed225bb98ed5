"""A merchant's program that calls the platform over HTTP and expects that an answer may never come."""

import http.client
import json
import secrets
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

from tests.support.sandboxes import Customers
from tests.support.signing import SignedClient
from tests.support.stripe.customers import StripeCustomers
from tests.support.waiting import LOADED_SECONDS, PATIENCE_SECONDS

NOT_FINAL = (202, 503)


class NoAnswer(Exception):
    """The connection broke before the answer, so the outcome is unknown."""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    def __str__(self) -> str:
        return f"{self.status} {self.body.decode()}"

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def data(self) -> dict[str, Any]:
        assert self.status in (200, 202), str(self)
        found: dict[str, Any] = self.json["data"]
        return found

    @property
    def is_final(self) -> bool:
        """Whether each repetition with this key will get this answer."""
        in_flight = self.status == 409 and self.json["error_code"] == "idempotency_in_flight"
        return self.status not in NOT_FINAL and not in_flight

    def require_contract(self) -> None:
        """Requires that the answer has one of the API's two shapes and is no 500."""
        assert self.status != 500, str(self)
        if self.status in (200, 202):
            assert self.json["code"] == 0, str(self)
        else:
            assert self.json["code"] != 0, str(self)
            assert self.json["error_code"], str(self)
            assert self.json["request_id"], str(self)


@dataclass(frozen=True, slots=True)
class Write:
    """A write of the merchant, repeated with the same key until it has a final answer."""

    path: str
    body: dict[str, Any]
    key: str = field(default_factory=lambda: f"key-{secrets.token_hex(8)}")


def payment(simulate: str = "", *, amount: int = 10_000, **fields: Any) -> Write:
    body = {
        "order_no": f"P-{secrets.token_hex(8)}",
        "amount": amount,
        "currency": "USD",
        "channel": "simulator",
        "subject": "Coffee",
        **fields,
    }
    return Write("/api/v1/payments", body | ({"metadata": {"simulate": simulate}} if simulate else {}))


class HttpShop:
    def __init__(self, url: str, key: str, secret: str) -> None:
        self._customers: Customers | None = None
        self._stripe_customers: StripeCustomers | None = None
        self._address = urlsplit(url).netloc
        self._signer = SignedClient(key, secret)
        self._threads = ThreadPoolExecutor(32)

    def send(self, write: Write) -> Reply:
        """Raises `NoAnswer`."""
        reply = self._request("POST", write.path, json.dumps(write.body).encode(), write.key)
        reply.require_contract()
        return reply

    def send_later(self, write: Write) -> "Future[Reply]":
        return self._threads.submit(self.send, write)

    def get(self, path: str) -> Reply:
        """Raises `NoAnswer`."""
        return self._request("GET", path, b"", None)

    def repeat_until_final(self, write: Write, seconds: float) -> Reply:
        """Repeats the write with the same key until the answer is final, as a careful merchant does."""
        deadline = time.monotonic() + seconds + LOADED_SECONDS
        while True:
            try:
                last: object = self.send(write)
            except NoAnswer as error:
                last = error
            if isinstance(last, Reply) and last.is_final:
                return last
            assert time.monotonic() < deadline, f"no final answer within {seconds:g} s, the last was {last}"
            time.sleep(0.1)

    def succeeded_payment(self, simulate: str = "", **fields: Any) -> dict[str, Any]:
        """Creates a payment that is paid. On a loaded machine a worker may have to finish it. The channel's webhook
        adds nothing."""
        script = ",".join(filter(None, ("auto_pay,no_webhook", simulate)))
        data = self.repeat_until_final(payment(script, **fields), 0).data
        assert data["status"] == "succeeded", data
        return data

    @property
    def customers(self) -> Customers:
        assert self._customers is not None, "this platform uses no sandboxes"
        return self._customers

    @property
    def stripe_customers(self) -> StripeCustomers:
        assert self._stripe_customers is not None, "this platform does not use Stripe"
        return self._stripe_customers

    def invite(self, customers: Customers, stripe_customers: StripeCustomers | None = None) -> Self:
        """Sets the customers who pay at the sandboxes and at Stripe."""
        self._customers, self._stripe_customers = customers, stripe_customers
        return self

    def _request(self, method: str, path: str, body: bytes, key: str | None) -> Reply:
        headers = self._signer.signed_headers(method, path, body, idempotency_key=key)
        sent = {name: value for name, value in headers.items() if value is not None}
        connection = http.client.HTTPConnection(self._address, timeout=PATIENCE_SECONDS)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json", **sent})
            answer = connection.getresponse()
            return Reply(answer.status, dict(answer.headers.items()), answer.read())
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswer(f"{type(error).__name__}: {error}") from error
        finally:
            connection.close()
