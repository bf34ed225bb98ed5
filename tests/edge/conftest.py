"""A gateway with few threads, and customers that send requests continuously."""

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.local.config import ROOT
from tests.support.processes import free_port
from tests.support.waiting import PATIENCE_SECONDS, wait_until

THREADS, WORKERS = 2, 2
ATTACKERS = 200
BIG = "/static/big.bin"
BIG_BYTES = 4 * 2**20
HEADER_SECONDS, REQUEST_SECONDS, STALLED_SECONDS = 1.5, 20.0, 2.5
# Attackers use many addresses, each with fewer connections than the limit of an address.
ATTACKING = tuple(f"127.0.1.{number}" for number in range(1, 11))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a gateway with fewer threads than attackers of each kind."""
    static: Path = tmp_path_factory.mktemp("static")
    (static / "big.bin").write_bytes(bytes(BIG_BYTES))
    port = free_port()
    environment = {
        **os.environ,
        "PORT": str(port),
        "STATIC_ROOT": str(static),
        "WEB_THREADS": str(THREADS),
        "WEB_QUEUE_SECONDS": "120",
        "WEB_WORKERS": str(WORKERS),
        "WEB_HEADER_SECONDS": str(HEADER_SECONDS),
        "WEB_REQUEST_SECONDS": str(REQUEST_SECONDS),
        "WEB_STALLED_SECONDS": str(STALLED_SECONDS),
    }
    command = [sys.executable, "-m", "gunicorn", "--config", "python:payment_platform.gunicorn_conf"]
    process = subprocess.Popen([*command, "payment_platform.wsgi:application"], cwd=ROOT, env=environment)
    try:
        wait_until(lambda: is_up(port), PATIENCE_SECONDS, "the gateway")
        yield port
    finally:
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) == 0


def is_up(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class HealthyCustomers:
    """Send requests, each on a new connection, and record the durations."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/healthz"
        self.seconds: list[float] = []
        self.failures: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "HealthyCustomers":
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.05):
            began = time.monotonic()
            try:
                with urllib.request.urlopen(self.url, timeout=PATIENCE_SECONDS) as answer:
                    answer.read()
            except OSError as error:
                self.failures.append(str(error))
            self.seconds.append(time.monotonic() - began)
