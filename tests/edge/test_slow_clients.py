"""The gateway without a proxy, with clients that hold connections and hardly use them."""

import http.client
import json
import socket
import statistics
import time

import pytest
import structlog

from payment_platform.web_worker import Connection
from tests.edge.conftest import (
    ATTACKERS,
    ATTACKING,
    BIG,
    REQUEST_SECONDS,
    THREADS,
    WORKERS,
    HealthyCustomers,
)
from tests.support.slow_clients import Attack, Kind
from tests.support.waiting import LOADED_SECONDS, wait_until

pytestmark = pytest.mark.stack


def test_healthy_requests_are_answered_throughout(gateway: int) -> None:
    """There are more slow clients of each kind than threads, and the server closes all of them."""
    kinds = list(Kind)
    assert ATTACKERS // len(kinds) > THREADS * WORKERS
    attack = Attack(gateway, count=ATTACKERS, kinds=kinds, big=BIG, sources=ATTACKING)
    with attack, HealthyCustomers(gateway) as customers:
        # One after another on the threads of the server, the slow clients would take two minutes.
        wait_until(
            lambda: not attack.left() and len(customers.seconds) > 10,
            30 + LOADED_SECONDS,
            "the server to close them and to answer the others",
        )
    assert customers.failures == []
    assert statistics.median(customers.seconds) < 5, sorted(customers.seconds)[-5:]


def test_connections_per_address_are_limited(gateway: int) -> None:
    """Connections above the limit are closed at once."""
    attack = Attack(gateway, count=ATTACKERS, kinds=[Kind.DRIPPING_BODY], big=BIG, sources=["127.0.2.1"])
    began = time.monotonic()
    with attack:
        wait_until(lambda: attack.closed.total() >= ATTACKERS - WORKERS * 50, REQUEST_SECONDS, "refusals")
        assert time.monotonic() - began < REQUEST_SECONDS


def test_an_invalid_request_gets_an_error_of_the_api(gateway: int) -> None:
    for sent, status in (
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST /api/v1/payments HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 40_000 + b"\r\n\r\n", 431),
    ):
        with socket.create_connection(("127.0.0.1", gateway), timeout=60) as client:
            client.sendall(sent)
            answer = http.client.HTTPResponse(client)
            answer.begin()
            assert answer.status == status, sent[:30]
            body = json.loads(answer.read())
            assert body["error_code"] == ("body_too_large" if status == 413 else "malformed_body")
            assert body["request_id"] == answer.headers["X-Request-Id"]


def test_a_chunked_body_is_received_whole(gateway: int) -> None:
    """The view gets it complete; with gunicorn's threads it was empty."""
    with socket.create_connection(("127.0.0.1", gateway), timeout=60) as client:
        head = b"POST /api/v1/payments HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        client.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
        answer = http.client.HTTPResponse(client)
        answer.begin()
        assert answer.status == 401


def test_log_lines_carry_nothing_of_the_previous_request() -> None:
    """A thread clears what a request bound to its log lines, also after a failure."""
    connection = Connection.__new__(Connection)
    structlog.contextvars.bind_contextvars(merchant_id="of the request before")
    connection.requests = []  # nothing to serve, as after the client has disconnected
    with pytest.raises(IndexError):
        connection.service()
    assert structlog.contextvars.get_contextvars() == {}
