"""A server that sends one byte at a time cannot hold a worker longer than the deadline of the call."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from channels.base import PaymentRef, PaymentResult, UnknownOutcome
from channels.registry import get_platform_account
from channels.stripe.channel import StripeChannel

DEADLINE_SECONDS = 1.0
DRIP_SECONDS = 0.2
ENOUGH_SECONDS = 30.0  # the lease: a worker that takes as long has lost its saga

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
BEGINNINGS = {
    "in the status line": b"HTTP/1.1 2",
    "in the headers": HEAD + b"X-Drip: ",
    "in the body": HEAD + b"Content-Length: 1000000\r\n\r\n",
    "in a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffff\r\n",
    "in a body without an end": HEAD + b"Connection: close\r\n\r\n",
}


class DrippingServer:
    def __init__(self) -> None:
        self.beginning = b""
        self.over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while not self.over.is_set():
            try:
                caller, _address = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._drip, args=(caller,), daemon=True).start()

    def _drip(self, caller: socket.socket) -> None:
        with closing(caller):
            caller.recv(65536)
            try:
                caller.sendall(self.beginning)
                while not self.over.wait(DRIP_SECONDS):
                    caller.sendall(b"1")
            except OSError:
                return

    def close(self) -> None:
        self.over.set()
        self._listener.close()


@pytest.fixture
def server(settings: Any) -> Iterator[DrippingServer]:
    with closing(DrippingServer()) as found:
        settings.STRIPE_API_BASE = found.url
        settings.STRIPE_SECRET_KEYS = {"test": "sk_test_fake", "live": ""}
        yield found


@pytest.mark.parametrize("where", BEGINNINGS)
def test_a_call_to_a_dripping_server_ends_at_its_deadline(server: DrippingServer, where: str) -> None:
    server.beginning = BEGINNINGS[where]
    answers: list[PaymentResult] = []

    def query() -> None:
        payment = PaymentRef(
            "PAY-20250124-000001", get_platform_account("stripe", "test"), DEADLINE_SECONDS, "cs_test_1"
        )
        answers.append(StripeChannel().find_payment(payment))

    caller = threading.Thread(target=query, daemon=True)
    caller.start()
    caller.join(ENOUGH_SECONDS)
    assert not caller.is_alive(), "the call took longer than the lease"
    assert isinstance(answers[0], UnknownOutcome), answers
