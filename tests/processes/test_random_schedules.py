"""Random runs over the simulator and the sandboxes of WeChat Pay and Alipay at the same time: merchants pay, capture,
cancel and refund with scripted faults while workers and sandboxes are killed, Redis is flushed and, in the long mode,
PostgreSQL is restarted. When no work is open any more, the integrity checks compare our records with each channel's.

    pytest tests/processes/test_random_schedules.py                      a few seeds, a few seconds each
    pytest tests/processes/test_random_schedules.py --long               more, longer, with PostgreSQL restarts

A seed fixes the requests and the faults. It does not fix the moments at which they meet.
"""

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.processes.random_merchants import FINAL, Merchant
from tests.processes.settling import settle, sync_payment
from tests.support.books import Books, Row
from tests.support.http_shop import HttpShop, NoAnswer
from tests.support.processes import IDEMPOTENCY_LEASE_SECONDS, Platform
from tests.support.waiting import LOADED_SECONDS, wait_until

pytestmark = pytest.mark.processes

MERCHANTS = 4
SHORT_SECONDS, LONG_SECONDS = 6.0, 20.0
SETTLE_SECONDS = 60.0


class Chaos:
    """Causes faults in the processes, one after another."""

    def __init__(self, platform: Platform, dice: random.Random, *, long: bool) -> None:
        self.platform, self.dice = platform, dice
        self.faults: Counter[str] = Counter()
        self.kinds: list[Callable[[], None]] = [self.kill_web, self.kill_child, self.kill_child, self.flush]
        self.kinds += [
            self.freeze_child,
            self.kill_worker,
            self.kill_beat,
            self.kill_sandbox,
            self.lose_alipay,
        ]
        if long:
            self.kinds += [self.restart_postgres, self.restart_redis]

    def run(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if (
                not self.platform.worker.is_running
            ):  # a child that dies starting takes it with it, as its broker may
                self.faults["worker_died_by_itself"] += 1
                self.platform.worker.deaths = 0  # these deaths are ours, however many there are
            self.platform.supervise()
            fault = self.dice.choice(self.kinds)
            self.faults[fault.__name__] += 1
            fault()
            time.sleep(self.dice.uniform(0.1, 0.8))  # the load goes on meanwhile

    def kill_web(self) -> None:
        _signal(self.platform.web_worker(), signal.SIGKILL)

    def kill_child(self) -> None:
        _signal(self.dice.choice(self.platform.worker_children()), signal.SIGKILL)

    def freeze_child(self) -> None:
        """Freezes it, sometimes for longer than its lease: it continues when another worker has its saga."""
        child = self.dice.choice(self.platform.worker_children())
        _signal(child, signal.SIGSTOP)
        time.sleep(self.dice.choice((0.3, 2.6)))
        _signal(child, signal.SIGCONT)

    def kill_worker(self) -> None:
        self.platform.worker.kill()
        self.platform.worker.start()

    def kill_beat(self) -> None:
        self.platform.beat.kill()
        self.platform.beat.start()

    def kill_sandbox(self) -> None:
        """Kills the sandbox of a provider and starts it again."""
        process = self.dice.choice(list(self.platform.sandboxes.values()))
        process.kill()
        process.start()

    def lose_alipay(self) -> None:
        self.platform.customers.try_to_refuse_connections(self.dice.choice((0.3, 1.5)))

    def flush(self) -> None:
        with self.platform.redis_client() as client:
            client.flushall()

    def restart_redis(self) -> None:
        self.platform.stop_redis()
        self.platform.start_redis()

    def restart_postgres(self) -> None:
        self.platform.stop_postgres()
        self.platform.start_postgres()


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # another fault was quicker
        os.kill(pid, number)


def test_random_schedule(
    platform: Platform,
    shop: HttpShop,
    books: Books,
    seed: int,
    pytestconfig: pytest.Config,
    record_property: Callable[[str, object], None],
) -> None:
    long = pytestconfig.getoption("--long", False)
    end = threading.Event()
    began = books.row("SELECT now()")
    assert began is not None
    merchants = [Merchant(shop, f"{seed}.{number}", end) for number in range(MERCHANTS)]
    chaos = Chaos(platform, random.Random(seed), long=long)
    for merchant in merchants:
        merchant.start()
    try:
        chaos.run(LONG_SECONDS if long else SHORT_SECONDS)
    finally:
        end.set()
        for merchant in merchants:
            merchant.join()
    for merchant in merchants:
        if merchant.error is not None:
            raise merchant.error
    platform.heal()
    _finish(platform, shop, merchants)
    settle(platform, shop, books, SETTLE_SECONDS)
    record_property("schedule", _summary(books, began, seed, merchants, chaos))


def _finish(platform: Platform, shop: HttpShop, merchants: list[Merchant]) -> None:
    """Repeats each write until it has a final answer, which must agree with our records too. One exception: the bank
    never answers about some payments; their captures, cancellations and refunds are neither done nor refused."""
    shop.customers.forget_faults()
    for merchant in merchants:
        for write in merchant.writes:
            platform.supervise()
            if any(
                number in (write.body.get("payment_no"), *write.path.split("/")) for number in merchant.silent
            ):
                with contextlib.suppress(NoAnswer):
                    assert shop.send(write).status in (*FINAL, 202, 503)
                continue
            if write.path.endswith("/cancel"):
                _let_customer_pay(shop, write.path.split("/")[-2])
            reply = shop.repeat_until_final(write, IDEMPOTENCY_LEASE_SECONDS + SETTLE_SECONDS)
            assert reply.status in FINAL, str(reply)


def _let_customer_pay(shop: HttpShop, payment_no: str) -> None:
    """At Alipay, a cancellation waits for hours until the customer's page has ended; or until the customer pays."""
    opened = wait_until(lambda: _try_to_read(shop, payment_no), SETTLE_SECONDS + LOADED_SECONDS, payment_no)
    if opened["channel"] == "alipay" and opened["status"] == "pending":
        shop.customers.try_to_pay("alipay", payment_no, opened["next_action"])
        sync_payment(shop, payment_no)  # the notice may be lost


def _try_to_read(shop: HttpShop, payment_no: str) -> dict[str, Any] | None:
    try:
        reply = shop.get(f"/api/v1/payments/{payment_no}")
    except NoAnswer:
        return None
    return reply.data if reply.status == 200 else None


def _summary(books: Books, began: Row, seed: int, merchants: list[Merchant], chaos: Chaos) -> str:
    sagas = books.rows(
        "SELECT definition, status, count(*) AS count FROM saga_instances WHERE created_at >= %s"
        " GROUP BY 1, 2 ORDER BY 1, 2",
        began["now"],
    )
    faults = ", ".join(f"{name} {count}" for name, count in sorted(chaos.faults.items()))
    ends = ", ".join(f"{row['definition']} {row['status']} {row['count']}" for row in sagas)
    paid = sum((merchant.customers_paid for merchant in merchants), Counter[str]())
    at_sandboxes = ", ".join(f"{count} at {name}" for name, count in sorted(paid.items()))
    writes = sum(len(merchant.writes) for merchant in merchants)
    return f"seed {seed}: {writes} writes; customers paid {at_sandboxes}; {faults}; {ends}"
