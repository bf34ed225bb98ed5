"""The duration of healthy requests while clients hold connections and hardly use them."""

import statistics
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings

from benchmarks.figures import Benchmark, Effort, Figure, merge_rounds
from benchmarks.load import start_gateway
from tests.support.slow_clients import Attack, Kind

BENCHMARK = Benchmark(
    "slow_clients",
    "The duration of healthy requests while 200 clients hold connections and hardly use them.",
    "A request takes a thread only when it is complete.",
)
ATTACKERS = 200
BIG, BIG_BYTES = "big.bin", 3_000_000  # a static file that is read slowly


def measure(effort: Effort) -> list[Figure]:
    """The gateway starts anew for each round."""
    return merge_rounds([_measure_round(effort) for _round in range(effort.rounds)])


def _measure_round(effort: Effort) -> list[Figure]:
    sources = [f"127.0.1.{number}" for number in range(1, 41)]
    Path(settings.STATIC_ROOT, BIG).write_bytes(bytes(BIG_BYTES))
    with start_gateway() as gateway:
        port = urlsplit(gateway.base).port or 0
        quiet = _measured(port, float(effort.choose(5, 1)))
        with Attack(port, count=ATTACKERS, kinds=list(Kind), big=f"/static/{BIG}", sources=sources):
            attacked = _measured(port, float(effort.choose(20, 1)))
    base = Figure(name="GET /healthz, p50", value=quiet.median_ms, unit="ms")
    beside = f"GET /healthz beside {ATTACKERS} hostile connections"
    return [
        base,
        Figure(
            name=f"{beside}, p50",
            value=attacked.median_ms,
            unit="ms",
            ratio=attacked.median_ms / base.value,
            ratio_to=base.name,
        ),
        Figure(name=f"{beside}, slowest", value=attacked.slowest_ms, unit="ms"),
        Figure(name=f"{beside}, answered", value=attacked.answered, unit="requests"),
        Figure(name=f"{beside}, failed", value=attacked.failed, unit="requests", aim="at most 0"),
    ]


@dataclass(frozen=True, slots=True)
class Answers:
    answered: int
    failed: int
    median_ms: float
    slowest_ms: float


def _measured(port: int, seconds: float) -> Answers:
    took, failed, until = [], 0, time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.monotonic()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
                answer.read()
            took.append(time.monotonic() - began)
        except OSError:
            failed += 1
        time.sleep(0.02)
    if not took:
        sys.exit(f"no answer, {failed} failed")
    return Answers(len(took), failed, statistics.median(took) * 1000, max(took) * 1000)
