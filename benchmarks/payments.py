"""Payments per second, compared with a bare view on the same servers in the same run.

    python -m scripts.local.testing python -m benchmarks.payments [--seconds 10] [--rounds 3]

The same load generator (wrk) calls both with as many connections; rounds alternate, so that other load on the machine
affects both. Requests to POST /payments are signed, each with its own Idempotency-Key.
"""

import argparse
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"

import django

django.setup()

from django.core.management import call_command
from django.db import connection

from benchmarks.bare import TABLE
from merchants.services import NewKey, create_merchant
from merchants.signing import SignedParts, compute_signature

CONNECTIONS = 16
HIGHEST_RATE = 2000  # requests prepared for each second of the run

SCRIPT = """
local requests, at = {}, 0
for line in io.lines("%s") do requests[#requests + 1] = line end
request = function()
  at = at + 1
  local key, signature, stamp, body = requests[at]:match("^(%%S+) (%%S+) (%%S+) (.*)$")
  return wrk.format("POST", "/api/v1/payments", {
    ["Content-Type"] = "application/json", ["X-API-Key"] = "%s", ["X-Signature"] = signature,
    ["X-Timestamp"] = stamp, ["Idempotency-Key"] = key}, body)
end
"""
BARE_SCRIPT = """
wrk.method, wrk.path = "POST", "/bare"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"order_no": "ORDER-1", "amount": 10000, "currency": "USD"}'
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seconds", type=int, default=10)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is missing: install Debian's package wrk.")
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute(TABLE)
    merchant = create_merchant(name="Benchmark", email=f"bench-{uuid.uuid4().hex[:8]}@example.com")
    bare, payments = [], []
    with tempfile.TemporaryDirectory() as folder, start_gateway() as gateway:
        for number in range(chosen.rounds):
            bare.append(_load(gateway.base, _file(folder, "bare.lua", BARE_SCRIPT), chosen.seconds))
            requests = _file(
                folder, "requests", sign_requests(merchant.test_key, chosen.seconds * HIGHEST_RATE)
            )
            script = _file(folder, "payments.lua", SCRIPT % (requests, merchant.test_key.key))
            payments.append(_load(gateway.base, script, chosen.seconds))
            print(f"round {number + 1}: bare {bare[-1]:7.1f}/s   POST /payments {payments[-1]:7.1f}/s")
    ratio = statistics.median(payments) / statistics.median(bare)
    print(
        f"median:  bare {statistics.median(bare):7.1f}/s   POST /payments {statistics.median(payments):7.1f}/s"
    )
    print(f"ratio: {ratio:.2f} (aim: at least 0.33)")


def sign_requests(key: NewKey, count: int, *, simulate: str = "") -> str:
    """A request a line: Idempotency-Key, signature, time, body. `simulate` is the simulator's script."""
    lines = []
    stamp = str(int(time.time()))
    for _number in range(count):
        idempotency_key = uuid.uuid4().hex
        body = json.dumps(
            {
                "order_no": f"BENCH-{idempotency_key}",
                "amount": 10000,
                "currency": "USD",
                "channel": "simulator",
                "subject": "Benchmark",
                "callback_url": "http://localhost:8080/callback",
                "return_url": "http://localhost:8080/return",
                **({"metadata": {"simulate": simulate}} if simulate else {}),
            }
        )
        parts = SignedParts("POST", "/api/v1/payments", "", stamp, "", idempotency_key, body.encode())
        lines.append(f"{idempotency_key} {compute_signature(parts, secret=key.secret)} {stamp} {body}")
    return "\n".join(lines) + "\n"


def _file(folder: str, name: str, text: str) -> Path:
    path = Path(folder, name)
    path.write_text(text)
    return path


@dataclass(frozen=True, slots=True)
class Gateway:
    base: str
    pid: int


@contextmanager
def start_gateway(*, worker_class: str = "") -> Iterator[Gateway]:
    """Two processes. `worker_class` is another worker of gunicorn, to compare."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {"WEB_WORKERS": "2", "WEB_THREADS": "8", **os.environ, "PORT": str(port)}
    command = [
        "gunicorn",
        "--config",
        "python:payment_platform.gunicorn_conf",
        *(["--worker-class", worker_class] if worker_class else []),
        "payment_platform.wsgi:application",
    ]
    process = subprocess.Popen([sys.executable, "-m", *command], env=environment, stdout=subprocess.DEVNULL)
    base = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(f"{base}/readyz")
        yield Gateway(base, process.pid)
    finally:
        process.terminate()
        process.wait()


def _wait_until_ready(url: str) -> None:
    for _attempt in range(100):
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
        else:
            return
    sys.exit("The gateway did not become ready.")


def _load(base: str, script: Path, seconds: int) -> float:
    """Successful requests a second. Any other answer ends the benchmark: it would not be a comparison."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", str(script), base]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        sys.exit(f"Not every request succeeded:\n{output}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", output)
    assert found is not None
    return float(found.group(1))


if __name__ == "__main__":
    main()
