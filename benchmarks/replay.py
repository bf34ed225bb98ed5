"""Replays a second: a payment is created once and asked for again with the same Idempotency-Key."""

import uuid

from benchmarks.beside_bare import QUICK_REQUESTS, measure_beside_bare
from benchmarks.figures import Benchmark, Effort, Figure
from benchmarks.load import start_gateway
from benchmarks.prepared import create_key, prepare_payment, send

BENCHMARK = Benchmark(
    "replay",
    "`POST /payments` again with the same Idempotency-Key, beside a bare view.",
    "CPU of the gateway: a replay costs one statement and one command to Redis.",
)


def measure(effort: Effort) -> list[Figure]:
    key, idempotency_key = create_key(), uuid.uuid4().hex
    send(prepare_payment(key, idempotency_key=idempotency_key))
    count = effort.choose(4000, QUICK_REQUESTS)
    with start_gateway() as gateway:
        return measure_beside_bare(
            "replay",
            gateway,
            effort,
            lambda: [prepare_payment(key, idempotency_key=idempotency_key)] * count,
            aim="at least 0.80",
        )
