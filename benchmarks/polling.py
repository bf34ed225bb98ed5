"""Polls per second when many are due, and beside a channel that answers slowly.

    python -m benchmarks.polling [--payments 500] [--slow 100]

Starts a platform of real processes of its own. Payments that were charged at the bank without a webhook are due for a
poll all at once: it prints how many are polled per second. Then further ones are due whose polls take 9 seconds each,
and creations whose answer is lost are made beside them: printed is how long these take to recover, against before.
"""

import argparse
import statistics
import time

import psycopg

from benchmarks.outage import ProductionPlatform
from tests.support.http_shop import HttpShop, payment

LOST_CREATIONS = 10
GIVEN_UP_SECONDS = 300.0
SUCCEEDED = "SELECT count(*) FROM payments WHERE status = 'succeeded' AND order_no = ANY(%s)"
DUE = """
UPDATE payments SET next_check_at = now(), check_count = 0
WHERE status IN ('pending', 'processing') AND order_no = ANY(%s)
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--payments", type=int, default=500)
    options.add_argument("--slow", type=int, default=100)
    chosen = options.parse_args()
    with ProductionPlatform() as platform:
        shop = HttpShop(platform.url, **platform.merchant)
        with psycopg.connect(
            host=platform.database.host,
            port=platform.database.port,
            user=platform.database.user,
            password=platform.database.password,
            dbname=platform.database.name,
            autocommit=True,
        ) as connection:
            before = _recovery_seconds(shop, connection)
            charged = _make(shop, chosen.payments, "auto_pay,processing:1,no_webhook")
            time.sleep(2)  # the bank settles the last of them
            connection.execute(DUE, [charged])
            took = _seconds_until_paid(connection, charged)
            print(f"{chosen.payments} due polls in {took:.1f} s: {chosen.payments / took:.1f}/s", flush=True)
            slow = _make(shop, chosen.slow, "no_webhook,query:slow:9*always")
            connection.execute(DUE, [slow])
            beside = _recovery_seconds(shop, connection)
            print(
                f"a lost creation recovers in {before:.1f} s, beside {chosen.slow} due polls of 9 s each in"
                f" {beside:.1f} s ({beside / before:.2f} times)"
            )


def _make(shop: HttpShop, count: int, simulate: str) -> list[str]:
    writes = [payment(simulate) for _ in range(count)]
    for write in writes:
        shop.send(write)
    return [str(write.body["order_no"]) for write in writes]


def _recovery_seconds(shop: HttpShop, connection: "psycopg.Connection") -> float:
    """The median, from the lost answer on."""
    spent = []
    for _number in range(LOST_CREATIONS):
        began = time.monotonic()
        orders = _make(shop, 1, "auto_pay,no_webhook,timeout_after")
        _seconds_until_paid(connection, orders)
        spent.append(time.monotonic() - began)
    return statistics.median(spent)


def _seconds_until_paid(connection: "psycopg.Connection", orders: list[str]) -> float:
    began = time.monotonic()
    while time.monotonic() - began < GIVEN_UP_SECONDS:
        row = connection.execute(SUCCEEDED, [orders]).fetchone()
        if row == (len(orders),):
            return time.monotonic() - began
        time.sleep(0.05)
    raise SystemExit(f"not all of {len(orders)} payments succeeded within {GIVEN_UP_SECONDS:.0f} s")


if __name__ == "__main__":
    main()
