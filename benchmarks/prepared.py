"""Prepared requests: signed once, before the measurement, so that the client costs little."""

import io
import json
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from merchants.services import NewKey, create_merchant
from merchants.signing import SignedParts, compute_signature

PAYMENTS, REFUNDS = "/api/v1/payments", "/api/v1/refunds"
AMOUNT = 10_000
Environ = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    def to_http(self) -> bytes:
        """The request as it goes over the wire."""
        headers = {
            "Host": "localhost",
            "Content-Type": "application/json",
            "Content-Length": str(len(self.body)),
            **self.headers,
        }
        lines = [f"POST {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + self.body

    def to_environ(self) -> Environ:
        """The request as a web server gives it to a WSGI application."""
        named = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in self.headers.items()}
        return {
            "REQUEST_METHOD": "POST",
            "SCRIPT_NAME": "",
            "PATH_INFO": self.path,
            "RAW_URI": self.path,
            "QUERY_STRING": "",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": "localhost",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(self.body)),
            "wsgi.input": io.BytesIO(self.body),
            "wsgi.errors": sys.stderr,
            "wsgi.url_scheme": "http",
            "wsgi.multithread": True,
            **named,
        }


def create_key() -> NewKey:
    """The API key of a new merchant."""
    return create_merchant(name="Benchmark", email=f"bench-{uuid.uuid4().hex[:8]}@example.com").test_key


def prepare_bare() -> PreparedRequest:
    return PreparedRequest("/bare", b'{"order_no": "ORDER-1", "amount": 10000, "currency": "USD"}')


def prepare_payment(key: NewKey, *, idempotency_key: str = "", simulate: str = "") -> PreparedRequest:
    """A `POST /payments`. `simulate` is the simulator's script."""
    idempotency_key = idempotency_key or uuid.uuid4().hex
    body = {
        "order_no": f"BENCH-{idempotency_key}",
        "amount": AMOUNT,
        "currency": "USD",
        "channel": "simulator",
        "subject": "Benchmark",
        "callback_url": "http://localhost:8080/callback",
        "return_url": "http://localhost:8080/return",
        **({"metadata": {"simulate": simulate}} if simulate else {}),
    }
    return _sign(key, PAYMENTS, body, idempotency_key)


def prepare_refund(key: NewKey, payment_no: str, amount: int) -> PreparedRequest:
    return _sign(key, REFUNDS, {"payment_no": payment_no, "amount": amount}, uuid.uuid4().hex)


def prepare_webhook(payment: dict[str, Any]) -> PreparedRequest:
    """The simulator's webhook which says that the payment was paid."""
    from tests.support import bank

    webhook = bank.build_webhook(payment, state="paid", captured_minor=payment["amount"])
    request = bank.build_webhook_request(webhook)
    return PreparedRequest(bank.WEBHOOKS, request.body, dict(request.headers))


def create_payment(key: NewKey) -> dict[str, Any]:
    """Creates a payment in this process. Returns it as the API does."""
    payment: dict[str, Any] = json.loads(send(prepare_payment(key)))["data"]
    return payment


def create_paid_payment(key: NewKey) -> dict[str, Any]:
    from tests.support import bank

    payment = create_payment(key)
    bank.pay(payment)
    send(prepare_webhook(payment))
    return payment


def send(request: PreparedRequest) -> bytes:
    """Sends the request to the WSGI application in this process. Any answer but 200 ends the benchmark."""
    from payment_platform.wsgi import application

    statuses: list[str] = []

    def start_response(status: str, _headers: Any, _error: Any = None, /) -> Callable[[bytes], object]:
        statuses.append(status)
        return lambda _body: None  # WSGI's old way to write a body, which Django does not use

    response = application(request.to_environ(), start_response)
    body = b"".join(response)
    response.close()
    if not statuses[0].startswith("200"):
        sys.exit(f"A request failed with {statuses[0]}: {body.decode()}")
    return body


def _sign(key: NewKey, path: str, fields: dict[str, Any], idempotency_key: str) -> PreparedRequest:
    body, stamp = json.dumps(fields).encode(), str(int(time.time()))
    parts = SignedParts("POST", path, "", stamp, "", idempotency_key, body)
    return PreparedRequest(
        path,
        body,
        {
            "X-API-Key": key.key,
            "X-Signature": compute_signature(parts, secret=key.secret),
            "X-Timestamp": stamp,
            "Idempotency-Key": idempotency_key,
        },
    )
