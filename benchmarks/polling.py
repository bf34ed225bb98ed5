"""Polls per second when many are due, and beside a channel that answers slowly.

Starts a platform of real processes of its own. Payments that were charged at the bank without a webhook are due for a
poll all at once: measured are the polls per second. Then further ones are due whose polls take 9 seconds each, and
creations whose answer is lost are made beside them: measured is how long these take to recover, against before.
"""

import time

import psycopg

from benchmarks.figures import Benchmark, Effort, Figure, median_figure, merge_rounds
from benchmarks.outage import ProductionPlatform, connect
from tests.support.http_shop import HttpShop, payment

BENCHMARK = Benchmark(
    "polling",
    "Polls a second when many are due at once, and the recovery of lost creations beside a slow channel.",
    "Places of the poller; each poll is a call of the channel and one transaction.",
)

GIVEN_UP_SECONDS = 300.0
SUCCEEDED = "SELECT count(*) FROM payments WHERE status = 'succeeded' AND order_no = ANY(%s)"
DUE = """
UPDATE payments SET next_check_at = now(), check_count = 0
WHERE status IN ('pending', 'processing') AND order_no = ANY(%s)
"""


def measure(effort: Effort) -> list[Figure]:
    """The platform starts anew for each round."""
    return merge_rounds([_measure_round(effort) for _round in range(effort.rounds)])


def _measure_round(effort: Effort) -> list[Figure]:
    payments, slow_polls = effort.choose(500, 20), effort.choose(100, 5)
    recoveries = effort.choose(10, 1)
    with ProductionPlatform() as platform:
        shop = HttpShop(platform.url, **platform.merchant)
        with connect(platform) as connection:
            before = _recovery_seconds(shop, connection, recoveries)
            charged = _make(shop, payments, "auto_pay,processing:1,no_webhook")
            time.sleep(2)  # the bank settles the last of them
            connection.execute(DUE, [charged])
            took = _seconds_until_paid(connection, charged)
            slow = _make(shop, slow_polls, "no_webhook,query:slow:9*always")
            connection.execute(DUE, [slow])
            beside = _recovery_seconds(shop, connection, recoveries)
    base = median_figure("recovery of a lost creation, p50", before, "s")
    return [
        Figure(name=f"polls, {payments} due at once", value=payments / took, unit="/s"),
        base,
        median_figure(f"the same beside {slow_polls} due polls of 9 s each, p50", beside, "s", base=base),
    ]


def _make(shop: HttpShop, count: int, simulate: str) -> list[str]:
    writes = [payment(simulate) for _ in range(count)]
    for write in writes:
        shop.send(write)
    return [str(write.body["order_no"]) for write in writes]


def _recovery_seconds(shop: HttpShop, connection: "psycopg.Connection", count: int) -> list[float]:
    """From the lost answer on."""
    spent = []
    for _number in range(count):
        began = time.monotonic()
        orders = _make(shop, 1, "auto_pay,no_webhook,timeout_after")
        _seconds_until_paid(connection, orders)
        spent.append(time.monotonic() - began)
    return spent


def _seconds_until_paid(connection: "psycopg.Connection", orders: list[str]) -> float:
    began = time.monotonic()
    while time.monotonic() - began < GIVEN_UP_SECONDS:
        row = connection.execute(SUCCEEDED, [orders]).fetchone()
        if row == (len(orders),):
            return time.monotonic() - began
        time.sleep(0.05)
    raise SystemExit(f"not all of {len(orders)} payments succeeded within {GIVEN_UP_SECONDS:.0f} s")
