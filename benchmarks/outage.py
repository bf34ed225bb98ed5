"""Recovery from an outage of the workers: payments with lost answers are made while none runs, then workers start.

    python -m benchmarks.outage [--payments 2500] [--watch 150]

Starts a platform of real processes of its own (PostgreSQL, Redis, gunicorn, workers, beat) with the leases and sweeps
of production. Prints, every ten seconds, how many creations have ended, how many of them as failed, and how many
messages wait in Redis.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg

from tests.support.http_shop import HttpShop, payment
from tests.support.processes import Platform

CLIENTS = 8
EVERY_SECONDS = 10.0
PRODUCTION = {
    "SAGA_LEASE_SECONDS": "30",
    "SAGA_SWEEP_SECONDS": "2",
    "SAGA_RETRY_BASE_SECONDS": "1",
    "IDEMPOTENCY_LEASE_SECONDS": "60",
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


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--payments", type=int, default=2500)
    options.add_argument("--watch", type=float, default=150.0, help="seconds")
    chosen = options.parse_args()
    with ProductionPlatform() as platform:
        platform.worker.kill()
        shop = HttpShop(platform.url, **platform.merchant)
        database = platform.database
        with psycopg.connect(
            host=database.host,
            port=database.port,
            user=database.user,
            password=database.password,
            dbname=database.name,
            autocommit=True,
        ) as connection:
            (since,) = connection.execute("SELECT now()").fetchone() or (None,)
            with ThreadPoolExecutor(CLIENTS) as clients:
                writes = [payment("timeout_after") for _ in range(chosen.payments)]
                replies = list(clients.map(shop.send, writes))
            print(f"{len(replies)} payments made while no worker runs", flush=True)
            platform.worker.start()
            platform.wait_for_worker(platform.worker)
            _watch(platform, connection, since, chosen.payments, chosen.watch)


def _watch(
    platform: Platform, connection: "psycopg.Connection", since: object, payments: int, seconds: float
) -> None:
    began = time.monotonic()
    ended, most = 0, 0
    with platform.redis_client() as client:
        while ended < payments and time.monotonic() - began < seconds:
            time.sleep(EVERY_SECONDS)
            ended, failed = connection.execute(COUNTS, [since]).fetchone() or (0, 0)
            waiting = sum(client.llen(key) for key in client.scan_iter(_type="list"))
            most = max(most, waiting)
            passed = time.monotonic() - began
            print(
                f"after {passed:4.0f} s: {ended:5} ended ({ended / passed:5.1f}/s), {failed} of them failed,"
                f" {waiting:6} messages in Redis",
                flush=True,
            )
    print(
        f"{ended} of {payments} ended in {time.monotonic() - began:.0f} s; at most {most} messages in Redis"
    )


if __name__ == "__main__":
    main()
