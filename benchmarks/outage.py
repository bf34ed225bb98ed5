"""Recovery from an outage of the workers: payments with lost answers are made while none runs, then workers start.

Starts a platform of real processes of its own (PostgreSQL, Redis, gunicorn, workers, beat) with the leases and sweeps
of production; its worker runs twelve sagas at a time.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psycopg

from benchmarks.figures import Benchmark, Effort, Figure, merge_rounds
from tests.support.http_shop import HttpShop, payment
from tests.support.processes import Platform

BENCHMARK = Benchmark(
    "outage",
    "The recovery from an outage of the saga workers, during which the answers of payments were lost.",
    "A lost creation is resolved with one query to the channel; this benchmark's worker runs twelve sagas at a time.",
)

CLIENTS = 8
EVERY_SECONDS = 1.0
GIVEN_UP_SECONDS = 300.0
PRODUCTION = {
    "SAGA_LEASE_SECONDS": "30",
    "SAGA_SWEEP_SECONDS": "2",
    "SAGA_RETRY_BASE_SECONDS": "1",
    "IDEMPOTENCY_LEASE_SECONDS": "30",
    "CHANNEL_TIMEOUT_SECONDS": "10",
    "SAGA_WORKER_THREADS": "12",
}
COUNTS = """
SELECT count(*) FILTER (WHERE status IN ('completed', 'compensated', 'failed')),
       count(*) FILTER (WHERE status IN ('compensated', 'failed'))
FROM saga_instances WHERE definition = 'payment.create' AND created_at >= %s
"""


class ProductionPlatform(Platform):
    def _environment(self) -> dict[str, str]:
        return {**super()._environment(), **PRODUCTION}


def measure(effort: Effort) -> list[Figure]:
    """The platform starts anew for each round."""
    return merge_rounds([_measure_round(effort) for _round in range(effort.rounds)])


def _measure_round(effort: Effort) -> list[Figure]:
    payments = effort.choose(1500, 20)
    with ProductionPlatform() as platform:
        platform.worker.kill()
        shop = HttpShop(platform.url, **platform.merchant)
        with connect(platform) as connection:
            (since,) = connection.execute("SELECT now()").fetchone() or (None,)
            with ThreadPoolExecutor(CLIENTS) as clients:
                writes = [payment("timeout_after") for _ in range(payments)]
                list(clients.map(shop.send, writes))
            platform.worker.start()
            platform.wait_for_worker(platform.worker)
            recovery = _watch(platform, connection, since, payments)
    return [
        Figure(name="payments with a lost answer", value=payments, unit="payments"),
        Figure(name="time until all have ended", value=recovery.seconds, unit="s"),
        Figure(name="payments that ended", value=recovery.ended, unit="payments", aim=f"at least {payments}"),
        Figure(name="of them failed", value=recovery.failed, unit="payments", aim="at most 0"),
        Figure(name="most messages in Redis", value=recovery.messages, unit="messages"),
    ]


@dataclass(frozen=True, slots=True)
class Recovery:
    seconds: float
    ended: int
    failed: int
    messages: int


def connect(platform: Platform) -> "psycopg.Connection":
    database = platform.database
    return psycopg.connect(
        host=database.host,
        port=database.port,
        user=database.user,
        password=database.password,
        dbname=database.name,
        autocommit=True,
    )


def _watch(platform: Platform, connection: "psycopg.Connection", since: object, payments: int) -> Recovery:
    began = time.monotonic()
    ended, failed, most = 0, 0, 0
    with platform.redis_client() as client:
        while ended < payments and time.monotonic() - began < GIVEN_UP_SECONDS:
            time.sleep(EVERY_SECONDS)
            ended, failed = connection.execute(COUNTS, [since]).fetchone() or (0, 0)
            most = max(most, sum(client.llen(key) for key in client.scan_iter(_type="list")))
    return Recovery(time.monotonic() - began, ended, failed, most)
