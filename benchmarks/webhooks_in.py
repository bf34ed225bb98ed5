"""Webhooks of a channel a second: each says that another pending payment was paid."""

from benchmarks.beside_bare import QUICK_REQUESTS, measure_beside_bare
from benchmarks.figures import Benchmark, Effort, Figure
from benchmarks.load import start_gateway
from benchmarks.prepared import create_key, create_payment, prepare_webhook

BENCHMARK = Benchmark(
    "webhooks_in",
    "Signed webhooks of the simulator, each of which pays a payment, beside a bare view.",
    "CPU of the gateway and of PostgreSQL: a webhook changes payment, order and attempt and adds an event.",
)


def measure(effort: Effort) -> list[Figure]:
    key = create_key()
    count = effort.choose(800, QUICK_REQUESTS)
    with start_gateway() as gateway:
        return measure_beside_bare(
            "webhook of a channel",
            gateway,
            effort,
            lambda: [prepare_webhook(create_payment(key)) for _ in range(count)],
            aim="at least 0.50",
        )
