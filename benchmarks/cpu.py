"""CPU per request of the hot path, in Python and in PostgreSQL, compared with a bare view in the same process.

    python -m scripts.local.testing python -m benchmarks.cpu [--requests 200] [--rounds 5]

The requests enter at the WSGI application, without web server and sockets. CPU seconds are the user and system time of
this process and of its database sessions, so that other load on the machine matters less than for rates; of the rounds,
the cheapest counts. Redis and the client are left out.
"""

import argparse
import io
import json
import os
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"

import django

django.setup()

from django.core.management import call_command
from django.db import connection, connections

from benchmarks.bare import TABLE
from common.postgresql.sessions import open_session
from merchants.services import NewKey, create_merchant
from merchants.signing import SignedParts, compute_signature
from payment_platform.wsgi import application
from tests.support import bank

Request = dict[str, Any]
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAYMENTS = "/api/v1/payments"


@dataclass(frozen=True, slots=True)
class CpuMilliseconds:
    python: float
    postgresql: float


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--requests", type=int, default=200)
    options.add_argument("--rounds", type=int, default=5)
    chosen = options.parse_args()
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute(TABLE)
    merchant = create_merchant(name="Benchmark", email=f"bench-{uuid.uuid4().hex[:8]}@example.com")
    connections.close_all()
    key, repeated = merchant.test_key, uuid.uuid4().hex
    _send(_build_payment(key, repeated))
    requests: dict[str, Callable[[], Request]] = {
        "bare view": _build_bare,
        "POST /payments": lambda: _build_payment(key, uuid.uuid4().hex),
        "replay": lambda: _build_payment(key, repeated),
        "webhook in": lambda: _build_webhook(key),
    }
    cheapest: dict[str, CpuMilliseconds] = {}
    for _round in range(chosen.rounds):
        for name, build in requests.items():
            found = _measure(build, chosen.requests)
            before = cheapest.get(name, found)
            cheapest[name] = CpuMilliseconds(
                min(found.python, before.python), min(found.postgresql, before.postgresql)
            )
    for name, cpu in cheapest.items():
        ratio = cheapest["bare view"].python / cpu.python
        print(
            f"{name:16} Python {cpu.python:6.2f} ms   PostgreSQL {cpu.postgresql:5.2f} ms   ratio {ratio:.2f}"
        )


def _measure(build: Callable[[], Request], count: int) -> CpuMilliseconds:
    for _warm_up in range(20):
        _send(build())
    requests = [build() for _ in range(count)]
    python, postgresql = time.process_time(), _read_session_seconds()
    for request in requests:
        _send(request)
    python, postgresql = time.process_time() - python, _read_session_seconds() - postgresql
    return CpuMilliseconds(python / count * 1000, postgresql / count * 1000)


def _read_session_seconds() -> float:
    """User and system time of the database sessions, which run on this machine."""
    with open_session() as session:
        found = session.execute(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        ).fetchall()
    ticks = 0
    for (pid,) in found:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS_PER_SECOND


def _send(request: Request) -> bytes:
    statuses: list[str] = []

    def start_response(status: str, _headers: Any, _error: Any = None, /) -> Callable[[bytes], object]:
        statuses.append(status)
        return lambda _body: None  # WSGI's old way to write a body, which Django does not use

    response = application(request, start_response)
    body = b"".join(response)
    response.close()
    if not statuses[0].startswith("200"):
        sys.exit(f"A request failed with {statuses[0]}: {body.decode()}")
    return body


def _build_request(path: str, body: bytes, headers: dict[str, str] | None = None) -> Request:
    named = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in (headers or {}).items()}
    return {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "RAW_URI": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "localhost",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
        **named,
    }


def _build_bare() -> Request:
    return _build_request("/bare", b'{"order_no": "ORDER-1", "amount": 10000, "currency": "USD"}')


def _build_payment(key: NewKey, idempotency_key: str) -> Request:
    body = json.dumps(
        {
            "order_no": f"BENCH-{idempotency_key}",
            "amount": 10000,
            "currency": "USD",
            "channel": "simulator",
            "subject": "Benchmark",
            "callback_url": "http://localhost:8080/callback",
            "return_url": "http://localhost:8080/return",
        }
    ).encode()
    stamp = str(int(time.time()))
    parts = SignedParts("POST", PAYMENTS, "", stamp, "", idempotency_key, body)
    return _build_request(
        PAYMENTS,
        body,
        {
            "X-API-Key": key.key,
            "X-Signature": compute_signature(parts, secret=key.secret),
            "X-Timestamp": stamp,
            "Idempotency-Key": idempotency_key,
        },
    )


def _build_webhook(key: NewKey) -> Request:
    payment = json.loads(_send(_build_payment(key, uuid.uuid4().hex)))["data"]
    webhook = bank.build_webhook(payment, state="paid", captured_minor=payment["amount"])
    request = bank.build_webhook_request(webhook)
    return _build_request(bank.WEBHOOKS, request.body, dict(request.headers))


if __name__ == "__main__":
    main()
