"""The write-ahead log of one request of the hot path: what a standby and an archive receive for it.

The simulator keeps its ledger in the same database, so its rows are included. Images of whole pages, which PostgreSQL
writes after each checkpoint, are not: `full_page_writes` is off here.
"""

import uuid
from collections.abc import Callable

from django.db import connections

from benchmarks.figures import Benchmark, Effort, Figure, median_figure
from benchmarks.growth import read_wal_position
from benchmarks.prepared import (
    PreparedRequest,
    create_key,
    create_paid_payment,
    create_payment,
    prepare_payment,
    prepare_refund,
    prepare_webhook,
    send,
)
from common.postgresql.sessions import open_session

BENCHMARK = Benchmark(
    "wal",
    "Bytes of write-ahead log for one request that enters at the WSGI application in one process.",
    "The rows that are written, and an entry in each of their indexes.",
)


def measure(effort: Effort) -> list[Figure]:
    count = effort.choose(500, 5)
    key, repeated = create_key(), uuid.uuid4().hex
    send(prepare_payment(key, idempotency_key=repeated))
    paid = create_paid_payment(key)["payment_no"]
    kinds: dict[str, Callable[[], PreparedRequest]] = {
        "POST /payments": lambda: prepare_payment(key),
        "replay": lambda: prepare_payment(key, idempotency_key=repeated),
        "POST /refunds": lambda: prepare_refund(key, paid, 1),
        "webhook of a channel": lambda: prepare_webhook(create_payment(key)),
    }
    connections.close_all()
    return [
        median_figure(name, [_measure_round(prepare, count) for _round in range(effort.rounds)], "bytes")
        for name, prepare in kinds.items()
    ]


def _measure_round(prepare: Callable[[], PreparedRequest], count: int) -> float:
    requests = [prepare() for _ in range(count)]
    with open_session(options=None) as session:
        before = read_wal_position(session)
        for request in requests:
            send(request)
        return (read_wal_position(session) - before) / count
