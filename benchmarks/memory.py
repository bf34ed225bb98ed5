"""Memory of the gateway over 100,000 requests: it must not grow with them."""

import uuid

from benchmarks.beside_bare import CONNECTIONS
from benchmarks.figures import Benchmark, Effort, Figure
from benchmarks.load import start_gateway
from benchmarks.prepared import create_key, prepare_payment, send

BENCHMARK = Benchmark(
    "memory",
    "Memory of two gateway processes over 100,000 requests, of which one in twenty creates a payment and the others"
    " repeat one.",
    "What Python and its libraries keep; the first requests load modules and fill caches.",
)
CHUNKS = 10  # a signature is valid for some minutes only


def measure(effort: Effort) -> list[Figure]:
    count = effort.choose(100_000, 400)
    key, idempotency_key = create_key(), uuid.uuid4().hex
    send(prepare_payment(key, idempotency_key=idempotency_key))
    seen: list[float] = []
    with start_gateway() as gateway:
        for _chunk in range(CHUNKS):
            repeated = prepare_payment(key, idempotency_key=idempotency_key)
            requests = [
                repeated if number % 20 else prepare_payment(key) for number in range(count // CHUNKS)
            ]
            seen.append(gateway.send(requests, connections=CONNECTIONS).memory_mb)
    first = Figure(name=f"memory after {count // CHUNKS:,} requests", value=seen[0], unit="MB")
    grown = (seen[-1] - seen[0]) * 1024 / (count - count // CHUNKS) * 1000
    return [
        first,
        Figure(
            name=f"memory after {count:,} requests",
            value=seen[-1],
            unit="MB",
            ratio=seen[-1] / seen[0],
            ratio_to=first.name,
            rounds=tuple(seen),
        ),
        Figure(name="growth for 1,000 requests", value=grown, unit="kB"),
    ]
