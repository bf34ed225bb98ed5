"""The cost of traces for POST /payments: off, and on with every request sampled, in the same run.

    ./scripts/with-test-servers.sh .venv/bin/python -m benchmarks.tracing [--requests 400] [--rounds 3]

Two gateways run at once, one without a collector and one that exports to a receiver in this process; they are called in
turn, so that other load on the machine affects both. The receiver reads and drops, as a collector on another machine
would cost nothing here.
"""

import argparse
import concurrent.futures
import os
import secrets
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"

import django

django.setup()

from django.core.management import call_command

from benchmarks.payments import _wait_until_ready
from merchants.services import create_merchant
from tests.support.http_shop import HttpShop, payment
from tests.support.processes import free_port

CONNECTIONS = 8


class Collector(BaseHTTPRequestHandler):
    received = 0

    def do_POST(self) -> None:
        Collector.received += len(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        pass


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--requests", type=int, default=400)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    call_command("migrate", verbosity=0)
    merchant = create_merchant(name="Benchmark", email=f"bench-{uuid.uuid4().hex[:8]}@example.com").test_key
    rates: dict[str, list[float]] = {"off": [], "on": []}
    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as collector, ExitStack() as stack:
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{collector.server_port}"
        gateways = {
            "off": stack.enter_context(_gateway(OTEL_EXPORTER_OTLP_ENDPOINT="")),
            "on": stack.enter_context(_gateway(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, TRACE_SAMPLE_RATIO="1")),
        }
        shops = {name: HttpShop(url, merchant.key, merchant.secret) for name, url in gateways.items()}
        for shop in shops.values():
            _rate(shop, 50)  # connections, prepared statements
        for number in range(chosen.rounds):
            for name, shop in shops.items():
                rates[name].append(_rate(shop, chosen.requests))
            print(f"round {number + 1}: off {rates['off'][-1]:6.1f}/s   on {rates['on'][-1]:6.1f}/s")
        collector.shutdown()
    off, on = statistics.median(rates["off"]), statistics.median(rates["on"])
    print(f"median:  off {off:6.1f}/s   on {on:6.1f}/s   {Collector.received / 2**20:.1f} MiB of spans")
    print(f"ratio: {on / off:.2f} of the payments a second are left with every request traced")


def _rate(shop: HttpShop, requests: int) -> float:
    """Payments a second. Any that does not succeed ends the benchmark."""
    writes = [payment("no_webhook", order_no=f"BENCH-{secrets.token_hex(8)}") for _ in range(requests)]
    with concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool:
        began = time.perf_counter()
        replies = list(pool.map(shop.send, writes))
        seconds = time.perf_counter() - began
    if any(reply.status != 200 for reply in replies):
        sys.exit("Not every payment succeeded.")
    return requests / seconds


@contextmanager
def _gateway(**environment: str) -> Iterator[str]:
    port = free_port()
    workers = {"PORT": str(port), "WEB_WORKERS": "1", "WEB_THREADS": "8", "CHANNEL_CALLS_PER_PROCESS": "64"}
    command = ["-m", "gunicorn", "--config", "python:payment_platform.gunicorn_conf"]
    process = subprocess.Popen(
        [sys.executable, *command, "payment_platform.wsgi:application"],
        env={**os.environ, **workers, **environment},
        stdout=subprocess.DEVNULL,
    )
    try:
        _wait_until_ready(f"http://127.0.0.1:{port}/readyz")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
