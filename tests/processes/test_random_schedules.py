"""Random runs: merchants pay, capture, cancel and refund with scripted faults while workers are killed, Redis is
flushed and, in the long mode, PostgreSQL is restarted. When everything has come to rest, the auditor judges.

    pytest tests/processes/test_random_schedules.py                      a few seeds, a few seconds each
    pytest tests/processes/test_random_schedules.py --long               many, longer, with PostgreSQL restarts

A seed fixes what is sent and what is done to the processes; the moments at which they meet are the machine's.
"""

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest

from tests.support.books import Books, Row
from tests.support.http_shop import HttpShop, NoAnswer, Reply, Write, payment
from tests.support.processes import IDEMPOTENCY_LEASE_SECONDS, Platform

pytestmark = pytest.mark.processes

MERCHANTS = 4
SHORT_SECONDS, LONG_SECONDS = 6.0, 20.0
SETTLE_SECONDS = 60.0
FAULTS = (
    "",
    "timeout_after",
    "timeout_before",
    "error_5xx",
    "reset_after",
    "slow:0.8",
    "slow_start:0.8",
    "timeout_after*always,query:timeout_before*always",
    "timeout_after,query:timeout_before*2",
    "refund:timeout_after",
    "refund:reset",
    "cancel:timeout_after",
    "cancel:timeout_before",
    "capture:reset_after",
    "refund_declined",
    "refund_pending:1",
    "duplicate_webhook",
)
ENDINGS = ("auto_pay", "auto_pay", "auto_pay", "authorize", "decline", "no_webhook")
FINAL = (200, 402, 404, 409, 422)


class Merchant(threading.Thread):
    """One program that sends what its dice say, repeats what was not answered, and never waits for long."""

    def __init__(self, shop: HttpShop, seed: str, end: threading.Event) -> None:
        super().__init__(name=seed)
        self.shop, self.dice, self.end = shop, random.Random(seed), end
        self.writes: list[Write] = []
        self.statuses: Counter[int] = Counter()
        self.silent: set[str] = set()  # payments about which the bank answers no question, ever
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            while not self.end.is_set():
                self._pay()
        except Exception as error:  # noqa: BLE001 - raised in the test's own thread
            self.error = error

    def _pay(self) -> None:
        ending, fault = self.dice.choice(ENDINGS), self.dice.choice(FAULTS)
        manual = {"capture_method": "manual"} if ending == "authorize" else {}
        script = ",".join(filter(None, (ending, fault)))
        reply = self._send(payment(script, amount=10_000, **manual))
        if reply is None or reply.status not in (200, 202):
            return
        number = reply.data["payment_no"]
        if "query:timeout_before*always" in script:
            self.silent.add(number)
        for _ in range(self.dice.randrange(3)):
            self._send(self._change(number))

    def _change(self, number: str) -> Write:
        kind = self.dice.choice(("refund", "refund", "cancel", "capture"))
        if kind == "refund":
            return Write(
                "/api/v1/refunds", {"payment_no": number, "amount": self.dice.choice((2_000, 6_000))}
            )
        body = {"amount": 4_000} if kind == "capture" else {}
        return Write(f"/api/v1/payments/{number}/{kind}", body)

    def _send(self, write: Write) -> Reply | None:
        self.writes.append(write)
        for _attempt in range(1 + self.dice.randrange(3)):
            try:
                reply = self.shop.send(write)
            except NoAnswer:
                continue
            self.statuses[reply.status] += 1
            assert reply.status in (*FINAL, 202, 503), str(reply)
            return reply
        return None


class Chaos:
    """What is done to the processes, one blow after another."""

    def __init__(self, platform: Platform, dice: random.Random, *, long: bool) -> None:
        self.platform, self.dice = platform, dice
        self.blows: Counter[str] = Counter()
        self.kinds: list[Callable[[], None]] = [self.kill_web, self.kill_child, self.kill_child, self.flush]
        self.kinds += [self.freeze_child, self.kill_worker]
        if long:
            self.kinds += [self.restart_postgres, self.restart_redis]

    def run(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if (
                not self.platform.worker.is_running
            ):  # a child that dies starting takes it with it, as its broker may
                self.blows["worker_died_by_itself"] += 1
            self.platform.supervise()
            blow = self.dice.choice(self.kinds)
            self.blows[blow.__name__] += 1
            blow()
            time.sleep(self.dice.uniform(0.1, 0.8))  # the load goes on meanwhile

    def kill_web(self) -> None:
        _signal(self.platform.web_worker(), signal.SIGKILL)

    def kill_child(self) -> None:
        _signal(self.dice.choice(self.platform.worker_children()), signal.SIGKILL)

    def freeze_child(self) -> None:
        """Longer than its lease now and then: it wakes up when another has its saga."""
        child = self.dice.choice(self.platform.worker_children())
        _signal(child, signal.SIGSTOP)
        time.sleep(self.dice.choice((0.3, 2.6)))
        _signal(child, signal.SIGCONT)

    def kill_worker(self) -> None:
        self.platform.worker.kill()
        self.platform.worker.start()

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
    with contextlib.suppress(ProcessLookupError):  # another blow was quicker
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
    books.wait_until_settled(SETTLE_SECONDS, supervise=platform.supervise)
    record_property("schedule", _summary(books, began, seed, merchants, chaos))


def _finish(platform: Platform, shop: HttpShop, merchants: list[Merchant]) -> None:
    """Each write gets one last word: what it says must agree with the books, too. Only whether money of a payment can
    be moved about which the bank stays silent nobody can ever tell: that is neither done nor refused."""
    for merchant in merchants:
        for write in merchant.writes:
            platform.supervise()
            if any(
                number in (write.body.get("payment_no"), *write.path.split("/")) for number in merchant.silent
            ):
                assert shop.send(write).status in (*FINAL, 202, 503)
                continue
            reply = shop.repeat_until_final(write, IDEMPOTENCY_LEASE_SECONDS + SETTLE_SECONDS)
            assert reply.status in FINAL, str(reply)


def _summary(books: Books, began: Row, seed: int, merchants: list[Merchant], chaos: Chaos) -> str:
    sagas = books.rows(
        "SELECT definition, status, count(*) AS count FROM saga_instances WHERE created_at >= %s"
        " GROUP BY 1, 2 ORDER BY 1, 2",
        began["now"],
    )
    blows = ", ".join(f"{name} {count}" for name, count in sorted(chaos.blows.items()))
    ends = ", ".join(f"{row['definition']} {row['status']} {row['count']}" for row in sagas)
    return f"seed {seed}: {sum(len(merchant.writes) for merchant in merchants)} writes; {blows}; {ends}"
