"""CPU per request of the hot path, in Python and in PostgreSQL, compared with a bare view in the same process.

The requests enter at the WSGI application, without web server and sockets. CPU is the user and system time of this
process, of PostgreSQL and of Redis, so that other load on the machine matters less than for rates; of the rounds, the
cheapest counts. The client is left out.
"""

import time
import uuid
from collections.abc import Callable

from django.db import connection, connections

from benchmarks.bare import TABLE
from benchmarks.beside_bare import BARE
from benchmarks.figures import Benchmark, Effort, Figure
from benchmarks.prepared import (
    PreparedRequest,
    create_key,
    create_paid_payment,
    create_payment,
    prepare_bare,
    prepare_payment,
    prepare_refund,
    prepare_webhook,
    send,
)
from benchmarks.processes import Cpu, find_postgresql, find_redis, read_cpu_of_family

BENCHMARK = Benchmark(
    "cpu",
    "CPU for one request that enters at the WSGI application in one process, beside a bare view.",
    "Function calls and statements, which are counted by tests (see Counts).",
)
ROUNDS_FOR_ONE = 2  # twice as many rounds as others: the cheapest counts


def measure(effort: Effort) -> list[Figure]:
    count = effort.choose(200, 5)
    with connection.cursor() as cursor:
        cursor.execute(TABLE)
    key, repeated = create_key(), uuid.uuid4().hex
    send(prepare_payment(key, idempotency_key=repeated))
    paid = create_paid_payment(key)["payment_no"]
    kinds: dict[str, Callable[[], PreparedRequest]] = {
        BARE: prepare_bare,
        "POST /payments": lambda: prepare_payment(key),
        "replay": lambda: prepare_payment(key, idempotency_key=repeated),
        "POST /refunds": lambda: prepare_refund(key, paid, 1),
        "webhook of a channel": lambda: prepare_webhook(create_payment(key)),
    }
    servers = find_postgresql(), find_redis()
    connections.close_all()
    cheapest: dict[str, Cpu] = {}
    for _round in range(effort.rounds * ROUNDS_FOR_ONE):
        for name, prepare in kinds.items():
            found = _measure_one(prepare, count, *servers)
            cheapest[name] = _keep_cheapest(found, cheapest.get(name, found))
    return [figure for name, cpu in cheapest.items() for figure in _describe(name, cpu, cheapest[BARE])]


def _measure_one(prepare: Callable[[], PreparedRequest], count: int, postgresql: int, redis: int) -> Cpu:
    """Milliseconds for one request."""
    for _warm_up in range(min(20, count)):
        send(prepare())
    requests = [prepare() for _ in range(count)]
    before = time.process_time(), read_cpu_of_family(postgresql), read_cpu_of_family(redis)
    for request in requests:
        send(request)
    after = time.process_time(), read_cpu_of_family(postgresql), read_cpu_of_family(redis)
    python, sessions, cache = (
        (late - early) / count * 1000 for early, late in zip(before, after, strict=True)
    )
    return Cpu(web=python, postgresql=sessions, redis=cache, client=0.0)


def _keep_cheapest(one: Cpu, other: Cpu) -> Cpu:
    return Cpu(
        web=min(one.web, other.web),
        postgresql=min(one.postgresql, other.postgresql),
        redis=min(one.redis, other.redis),
        client=0.0,
    )


def _describe(name: str, cpu: Cpu, bare: Cpu) -> list[Figure]:
    return [
        Figure(
            name=f"{name}, Python",
            value=cpu.web,
            unit="ms",
            ratio=cpu.web / bare.web if cpu is not bare else None,
            ratio_to=f"{BARE}, Python" if cpu is not bare else "",
            aim="at most 3.33" if name == "POST /payments" else "",
        ),
        Figure(
            name=f"{name}, PostgreSQL",
            value=cpu.postgresql,
            unit="ms",
            aim="at most 2.5" if name == "POST /payments" else "",
        ),
        Figure(name=f"{name}, Redis", value=cpu.redis, unit="ms"),
    ]
