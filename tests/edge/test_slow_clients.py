"""The gateway without a proxy, with clients that keep connections open and send almost nothing."""

import contextlib
import http.client
import json
import socket
import statistics
import threading
import time
from typing import Any

import pytest
import structlog
from waitress import wasyncore
from waitress.channel import HTTPChannel

from payment_platform.admission import Admission
from payment_platform.web_worker import KEEP_ALIVE_SECONDS, Connection, listen
from tests.edge.conftest import (
    ATTACKERS,
    ATTACKING,
    BIG,
    REQUEST_SECONDS,
    THREADS,
    WORKERS,
    HealthyCustomers,
)
from tests.edge.smuggling import HIDDEN, SMUGGLED, count_answers, request
from tests.support.slow_clients import Attack, Kind
from tests.support.waiting import LOADED_SECONDS, PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.stack


def test_healthy_requests_are_answered_throughout(gateway: int) -> None:
    """There are more slow clients of each kind than threads, and the server closes all of them."""
    kinds = list(Kind)
    assert ATTACKERS // len(kinds) > THREADS * WORKERS
    attack = Attack(gateway, count=ATTACKERS, kinds=kinds, big=BIG, sources=ATTACKING)
    with attack, HealthyCustomers(gateway) as customers:
        # One after another on the threads of the server, the slow clients would take four minutes.
        wait_until(
            lambda: not attack.left() and len(customers.seconds) > 10,
            REQUEST_SECONDS + LOADED_SECONDS,
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
        with socket.create_connection(("127.0.0.1", gateway), timeout=PATIENCE_SECONDS) as client:
            client.sendall(sent)
            answer = http.client.HTTPResponse(client)
            answer.begin()
            assert answer.status == status, sent[:30]
            body = json.loads(answer.read())
            assert body["error_code"] == ("body_too_large" if status == 413 else "malformed_body")
            assert ("limit_bytes" in body["details"]) == (status == 413)
            assert body["request_id"] == answer.headers["X-Request-Id"]


def test_a_chunked_body_is_received_whole(gateway: int) -> None:
    """The view gets it complete; with gunicorn's threads it was empty."""
    with socket.create_connection(("127.0.0.1", gateway), timeout=PATIENCE_SECONDS) as client:
        head = b"POST /api/v1/payments HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        client.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
        answer = http.client.HTTPResponse(client)
        answer.begin()
        assert answer.status == 401


def test_a_smuggled_request_is_refused_and_the_connection_closed(
    gateway: int, subtests: pytest.Subtests
) -> None:
    for name, sent in SMUGGLED.items():
        with subtests.test(name):
            answers, received = count_answers(gateway, sent)
            assert answers == 1, received
            assert received.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 ", b"HTTP/1.0 400 ")), received


def test_two_requests_on_one_connection_get_two_answers(gateway: int) -> None:
    """Shows that a single answer in the test above means that the hidden request was not executed."""
    plain = request(b"Content-Length: 0", body=b"") + HIDDEN.replace(
        b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"
    )
    answers, received = count_answers(gateway, plain)
    assert answers == 2, received


def build_connection(client: socket.socket) -> Connection:
    """Builds a connection that has been open for long, without a server."""
    connection = Connection.__new__(Connection)
    connection.socket, connection.requests, connection.request = client, [], None
    connection.requests_lock, connection.serving_threads = threading.Lock(), 0
    connection.total_outbufs_len, connection.waiting_since = 0, 0.0
    return connection


def test_a_connection_is_not_overdue_before_its_thread_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """waitress removes a request from the list while its thread still runs. The client may then send the next one."""
    seen = []

    def forget_request(connection: Connection) -> None:
        connection.requests = []
        seen.append((connection.is_overdue(time.time()), connection.is_waiting))

    monkeypatch.setattr(HTTPChannel, "service", forget_request)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = build_connection(ours)
        connection.requests = ["a request that took longer than a connection may be idle"]
        connection.service()
        assert seen == [(False, False)]
        assert not connection.is_overdue(time.time())
        assert connection.is_overdue(time.time() + KEEP_ALIVE_SECONDS + 60)


def test_a_connection_is_not_overdue_when_a_busy_process_has_not_read_it_yet() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = build_connection(ours)
        assert connection.is_overdue(time.time())
        theirs.send(b"P")
        assert not connection.is_overdue(time.time())
        assert ours.recv(1) == b"P", "the byte is still there"


def test_a_connection_is_not_closed_for_an_overdue_one_whose_number_it_got() -> None:
    """One turn of the event loop closes an overdue connection and accepts a new one with the same file descriptor."""
    connections: dict[int, Any] = {}
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = listening.getsockname()
        listener = listen(None, listening, connections, Admission(places=1, threads=0), backlog=8)
        with socket.create_connection(address), contextlib.closing(listener):
            wasyncore.loop(timeout=PATIENCE_SECONDS, use_poll=True, map=connections, count=1)
            (overdue,) = listener.active_channels.values()
            overdue.waiting_since = listener.next_channel_cleanup = 0
            with socket.create_connection(address) as client:
                wasyncore.loop(timeout=PATIENCE_SECONDS, use_poll=True, map=connections, count=1)
                assert overdue.socket is None
                (accepted,) = listener.active_channels.values()
                assert accepted.connected
                client.setblocking(False)
                with pytest.raises(BlockingIOError):
                    client.recv(1)


def test_log_lines_carry_nothing_of_the_previous_request() -> None:
    """A thread clears the log context of a request when it ends, also after a failure."""
    ours, theirs = socket.socketpair()
    structlog.contextvars.bind_contextvars(merchant_id="of the request before")
    with ours, theirs, pytest.raises(IndexError):
        build_connection(ours).service()  # nothing to serve, as after the client has disconnected
    assert structlog.contextvars.get_contextvars() == {}
