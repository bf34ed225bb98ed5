"""`kill -9` while a channel is being called: the platform finishes by itself, with one charge."""

import os
import signal
import statistics
import time
from collections.abc import Callable
from concurrent.futures import Future

import pytest

from tests.support.books import Books, Row
from tests.support.http_shop import HttpShop, NoAnswer, Reply, Write, payment
from tests.support.processes import (
    IDEMPOTENCY_LEASE_SECONDS,
    LEASE_SECONDS,
    RECOVERY_SECONDS,
    SWEEP_SECONDS,
    Platform,
    wait_for_death,
)
from tests.support.waiting import LOADED_SECONDS, wait_until

pytestmark = pytest.mark.processes

CREATE = "CallPaymentChannel"
REPEATS, LONG_REPEATS = 10, 20
# Killed before the bank did anything, and after.
SLOW = ("auto_pay,no_webhook,slow_start:1.5", "auto_pay,no_webhook,slow:1.5")
SLOW_RETRY = "auto_pay,no_webhook,timeout_after,query:slow:1.5"


@pytest.mark.parametrize("simulate", SLOW)
def test_web_worker(platform: Platform, shop: HttpShop, books: Books, simulate: str) -> None:
    write, saga, answer = _caught_in_a_call(shop, books, simulate)
    assert _holder(saga) == platform.web_worker()
    os.kill(platform.web_worker(), signal.SIGKILL)
    with pytest.raises(NoAnswer):
        answer.result()
    _require_end(shop, books, write)


def test_saga_worker_in_a_slow_retry(platform: Platform, shop: HttpShop, books: Books) -> None:
    write, saga, _answer = _caught_in_a_call(shop, books, SLOW_RETRY, "query")
    child = _holder(saga)
    assert child in platform.worker_children()
    os.kill(child, signal.SIGKILL)
    _require_end(shop, books, write)


def test_all_workers_of_a_host_in_a_slow_retry(platform: Platform, shop: HttpShop, books: Books) -> None:
    """Every process of the worker that holds the saga is killed. The other worker resumes it."""
    platform.spare_worker.start()
    platform.wait_for_worker(platform.spare_worker)
    write, held, _answer = _caught_in_a_call(shop, books, SLOW_RETRY, "query")
    child = _holder(held)
    victim, heir = platform.worker, platform.spare_worker
    if child in platform.worker_children(heir):
        victim, heir = heir, victim
    victim.kill()
    wait_for_death(child)
    saga = _require_end(shop, books, write)
    owner = books.row(
        "SELECT worker FROM saga_events WHERE saga_id = %s AND step_name = %s ORDER BY id DESC LIMIT 1",
        saga["id"],
        CREATE,
    )
    assert owner is not None
    assert int(owner["worker"].rpartition(":")[2]) in platform.worker_children(heir)


def test_worker_that_got_the_hint_is_killed_claiming(
    platform: Platform, shop: HttpShop, books: Books
) -> None:
    """A worker gets the wake-up hint and is killed before its claim is committed. A later worker claims the saga."""
    write = payment("auto_pay,no_webhook,timeout_after")
    platform.arm_workers(crash_at="saga.claim.before_commit")
    dead = platform.dead_children()
    assert shop.send(write).status == 202
    wait_until(lambda: platform.dead_children() - dead, LOADED_SECONDS, "a child to die")
    platform.arm_workers()
    platform.worker.kill()
    platform.spare_worker.start()
    platform.wait_for_worker(platform.spare_worker)
    _require_end(shop, books, write)


def test_web_and_worker_at_once(platform: Platform, shop: HttpShop, books: Books) -> None:
    """Only beat is left. A worker that starts afterwards finishes the saga."""
    write, _held, answer = _caught_in_a_call(shop, books, SLOW[1])
    platform.web.kill()
    platform.worker.kill()
    with pytest.raises(NoAnswer):
        answer.result()
    platform.worker.start()
    platform.wait_for_worker(platform.worker)
    saga = books.wait_for_saga(write.key, RECOVERY_SECONDS, "completed")
    books.require_terminal(saga["id"], "completed")
    paid = books.require_paid_once(write.body["order_no"])
    platform.restart_web()
    again = shop.repeat_until_final(write, IDEMPOTENCY_LEASE_SECONDS + 2)
    assert (again.status, again.data["payment_no"]) == (200, paid["payment_no"])


def test_beat_is_not_needed(platform: Platform, shop: HttpShop, books: Books) -> None:
    platform.beat.kill()
    write = payment("auto_pay,no_webhook,timeout_after")
    assert shop.send(write).status == 202
    _require_end(shop, books, write)
    platform.beat.start()


def test_repeated_request_resumes_without_a_worker(platform: Platform, shop: HttpShop, books: Books) -> None:
    """The first request and the one that resumed it are killed. The third finishes the saga without a worker."""
    platform.worker.signal(signal.SIGSTOP)
    write = payment("auto_pay,no_webhook")
    for point in (f"saga.call.before:{CREATE}", f"saga.outcome.before_commit:{CREATE}"):
        platform.arm(platform.web_worker(), crash_at=point)
        _repeat_until_it_dies(platform, shop, write)
    reply = shop.repeat_until_final(write, 2 * IDEMPOTENCY_LEASE_SECONDS + 2)
    assert reply.status == 200
    paid = books.require_paid_once(write.body["order_no"])
    assert reply.data["payment_no"] == paid["payment_no"]
    assert reply.data["status"] == "succeeded"
    saga = books.require_saga(write.key)
    books.require_terminal(saga["id"], "completed")


@pytest.mark.parametrize("simulate", SLOW)
def test_web_worker_that_wakes_up_after_its_lease(
    platform: Platform, shop: HttpShop, books: Books, simulate: str
) -> None:
    """The web worker is frozen, not killed. When it continues, its payment is finished, and it may write nothing."""
    write, _held, answer = _caught_in_a_call(shop, books, simulate)
    web = platform.web_worker()
    os.kill(web, signal.SIGSTOP)
    saga = books.wait_for_saga(write.key, RECOVERY_SECONDS, "completed")
    history = books.rows("SELECT * FROM saga_events WHERE saga_id = %s ORDER BY id", saga["id"])
    os.kill(web, signal.SIGCONT)
    reply = answer.result()
    paid = books.require_paid_once(write.body["order_no"])
    assert (reply.status, reply.data["payment_no"]) == (200, paid["payment_no"])
    assert reply.data["status"] == "succeeded"
    assert books.saga(saga["id"]) == saga
    assert books.rows("SELECT * FROM saga_events WHERE saga_id = %s ORDER BY id", saga["id"]) == history
    assert shop.send(write).body == reply.body


def test_recovery_times(
    platform: Platform,
    shop: HttpShop,
    books: Books,
    pytestconfig: pytest.Config,
    record_property: Callable[[str, object], None],
) -> None:
    """How long after the kill the payment is done: at most what is left of the lease, a sweep and the work. To the
    second that holds on a machine that does nothing else: `--long`."""
    long = pytestconfig.getoption("--long", False)
    writes, killed_at = [], []
    for _ in range(LONG_REPEATS if long else REPEATS):
        write, _held, _answer = _caught_in_a_call(shop, books, SLOW[0])
        os.kill(platform.web_worker(), signal.SIGKILL)
        writes.append(write)
        killed_at.append(time.time())
    for write in writes:
        books.wait_for_saga(write.key, RECOVERY_SECONDS, "completed")
        books.require_paid_once(write.body["order_no"])
    ends = [books.saga_of_key(write.key) for write in writes]
    seconds = sorted(
        saga["completed_at"].timestamp() - killed
        for saga, killed in zip(ends, killed_at, strict=True)
        if saga
    )
    record_property(
        "recovery",
        f"recovery after SIGKILL in a call, lease {LEASE_SECONDS:g} s, sweep {SWEEP_SECONDS:g} s, n={len(seconds)}:"
        f" median {statistics.median(seconds):.2f} s, bound {RECOVERY_SECONDS:g} s, each in s: "
        + " ".join(f"{each:.2f}" for each in seconds),
    )
    if long:
        assert seconds[-1] <= RECOVERY_SECONDS


def _caught_in_a_call(
    shop: HttpShop, books: Books, simulate: str, operation: str = "create"
) -> tuple[Write, Row, "Future[Reply]"]:
    """A write whose saga is held by a process that waits for the bank. On a loaded machine a call can be over before
    anybody sees it: then there is another."""
    for _attempt in range(5):
        write = payment(simulate)
        answer = shop.send_later(write)
        saga = books.wait_for_slow_call(write.key, operation)
        if saga is not None:
            return write, saga, answer
    raise AssertionError(f"no call of {simulate!r} was seen")


def _repeat_until_it_dies(platform: Platform, shop: HttpShop, write: Write) -> None:
    web = platform.web_worker()

    def dies() -> bool:
        try:
            assert shop.send(write).status == 409
        except NoAnswer:
            return True
        return False

    wait_until(dies, IDEMPOTENCY_LEASE_SECONDS + LOADED_SECONDS, "the armed web worker to die", interval=0.1)
    wait_for_death(web)


def _holder(saga: Row) -> int:
    """The process that the lease names."""
    return int(saga["lease_owner"].rpartition(":")[2])


def _require_end(shop: HttpShop, books: Books, write: Write, seconds: float = RECOVERY_SECONDS) -> Row:
    saga = books.wait_for_saga(write.key, seconds, "completed")
    books.require_terminal(saga["id"], "completed")
    paid = books.require_paid_once(write.body["order_no"])
    again = shop.repeat_until_final(write, IDEMPOTENCY_LEASE_SECONDS + 2)
    assert (again.status, again.data["payment_no"]) == (200, paid["payment_no"])
    return saga
