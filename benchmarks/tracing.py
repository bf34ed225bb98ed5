"""The cost of traces for POST /payments: off, and on with every request sampled, in the same run.

Two gateways run at once, one without a collector and one that exports to a receiver in this process; they are called in
turn, so that other load on the machine affects both. The receiver reads and drops, as a collector on another machine
would cost nothing here.
"""

import concurrent.futures
import secrets
import sys
import threading
import time
import uuid
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from benchmarks.figures import Benchmark, Effort, Figure, median_figure
from benchmarks.load import start_gateway
from merchants.services import create_merchant
from tests.support.http_shop import HttpShop, payment

BENCHMARK = Benchmark(
    "tracing",
    "Payments a second without traces and with every request traced, one gateway process each.",
    "CPU of the gateway: spans are made and exported in its process. The client is written in Python.",
)

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


def measure(effort: Effort) -> list[Figure]:
    merchant = create_merchant(name="Benchmark", email=f"bench-{uuid.uuid4().hex[:8]}@example.com").test_key
    requests = effort.choose(400, 20)
    rates: dict[str, list[float]] = {"off": [], "on": []}
    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as collector, ExitStack() as stack:
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{collector.server_port}"
        settings = {
            "off": {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
            "on": {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "TRACE_SAMPLE_RATIO": "1"},
        }
        gateways = {
            name: stack.enter_context(start_gateway(WEB_WORKERS="1", **given))
            for name, given in settings.items()
        }
        shops = {name: HttpShop(each.base, merchant.key, merchant.secret) for name, each in gateways.items()}
        for shop in shops.values():
            _rate(shop, effort.choose(50, 5))  # connections, prepared statements
        for _round in range(effort.rounds):
            for name, shop in shops.items():
                rates[name].append(_rate(shop, requests))
        collector.shutdown()
    base = median_figure("POST /payments without traces", rates["off"], "/s")
    return [base, median_figure("POST /payments, every request traced", rates["on"], "/s", base=base)]


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
