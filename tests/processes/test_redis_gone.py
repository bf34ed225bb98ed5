"""Redis only makes things faster: when it is flushed, stopped or frozen, time is lost and nothing else."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.books import Books
from tests.support.http_shop import HttpShop, Reply, Write, payment
from tests.support.processes import IDEMPOTENCY_LEASE_SECONDS, LEASE_SECONDS, RECOVERY_SECONDS, Platform

pytestmark = pytest.mark.processes

# A lost message of a sweep is sent again when its dispatch token has expired, which takes no longer than a lease.
LOST_MESSAGE_SECONDS = LEASE_SECONDS + RECOVERY_SECONDS
# The worker's waits between attempts to reconnect, and the beat's.
RECONNECT_SECONDS = 20.0
# No answer takes as long, however loaded the machine is.
FROZEN_SECONDS = 50.0
PAYMENTS = 12


def test_flushed_between_a_request_and_its_repetition(
    platform: Platform, shop: HttpShop, books: Books
) -> None:
    write = payment("auto_pay,no_webhook")
    first = shop.send(write)
    _flush(platform)
    again = shop.send(write)
    assert (again.status, again.body) == (200, first.body)
    assert again.headers["Idempotent-Replayed"] == "true"
    books.require_paid_once(write.body["order_no"])


def test_flushed_again_and_again_under_requests(platform: Platform, shop: HttpShop, books: Books) -> None:
    """Each write is sent twice at once. Half of them need a retry, whose hint and dispatch token may be flushed."""
    writes = _writes()
    with _flushing(platform):
        answers = [shop.send_later(write) for write in writes for _ in range(2)]
        _require_no_more_than_waiting([answer.result() for answer in answers])
        time.sleep(1.0)  # sweeps are flushed away too
    _require_all_paid(shop, books, writes, LOST_MESSAGE_SECONDS)


def test_stopped_under_requests(platform: Platform, shop: HttpShop, books: Books) -> None:
    """Without Redis there is no 500, and the answers are the same. With Redis back, worker and beat continue."""
    before = payment("auto_pay,no_webhook")
    body = shop.send(before).body
    writes = _writes()
    half = len(writes) // 2
    answers = [shop.send_later(write) for write in writes[:half] for _ in range(2)]
    platform.stop_redis()
    answers += [shop.send_later(write) for write in writes[half:] for _ in range(2)]
    _require_no_more_than_waiting([answer.result() for answer in answers])
    assert shop.send(before).body == body
    platform.start_redis()
    platform.wait_for_worker(
        platform.worker
    )  # Celery's ends when it loses Redis while it acknowledges a message
    _require_all_paid(shop, books, writes, RECONNECT_SECONDS + LOST_MESSAGE_SECONDS)
    for process in (platform.worker, platform.beat, platform.web):
        process.require_running()


def test_repeated_request_while_redis_is_stopped(platform: Platform, shop: HttpShop, books: Books) -> None:
    """No worker gets a wake-up hint. The merchant's repetition finishes the payment."""
    platform.stop_redis()
    write = payment("auto_pay,no_webhook,timeout_after")
    assert shop.send(write).status == 202
    reply = shop.repeat_until_final(write, IDEMPOTENCY_LEASE_SECONDS + RECOVERY_SECONDS)
    assert reply.data["status"] == "succeeded"
    books.require_paid_once(write.body["order_no"])


def test_frozen(platform: Platform, shop: HttpShop, books: Books) -> None:
    """Redis accepts connections and never answers. No request fails."""
    platform.redis.signal(signal.SIGSTOP)
    writes = [payment("auto_pay,no_webhook") for _ in range(4)]
    began = time.monotonic()
    replies = [answer.result() for answer in [shop.send_later(write) for write in writes]]
    took = time.monotonic() - began
    platform.redis.signal(signal.SIGCONT)
    assert [reply.status for reply in replies] == [200] * len(writes)
    assert took < FROZEN_SECONDS  # and not until Redis is back
    _require_all_paid(shop, books, writes, RECOVERY_SECONDS)


def test_full(platform: Platform, shop: HttpShop, books: Books) -> None:
    """Redis refuses all writes, also those of workers about the messages they received, and answers reads."""
    with platform.redis_client() as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
    writes = _writes()
    _require_no_more_than_waiting([answer.result() for answer in [shop.send_later(w) for w in writes]])
    time.sleep(1.0)  # the sweeps of that time find no room either
    with platform.redis_client() as client:
        client.config_set("maxmemory", 0)
    platform.wait_for_worker(platform.worker)  # Celery's ends when it cannot acknowledge a message
    _require_all_paid(shop, books, writes, RECONNECT_SECONDS + LOST_MESSAGE_SECONDS)
    for process in (platform.worker, platform.beat, platform.web):
        process.require_running()


def _writes() -> list[Write]:
    scripts = ("auto_pay,no_webhook", "auto_pay,no_webhook,timeout_after")
    return [payment(scripts[number % 2]) for number in range(PAYMENTS)]


def _flush(platform: Platform) -> None:
    with platform.redis_client() as client:
        client.flushall()


@contextmanager
def _flushing(platform: Platform) -> Iterator[None]:
    done = threading.Event()

    def flush() -> None:
        while not done.wait(0.02):
            _flush(platform)

    thread = threading.Thread(target=flush)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _require_no_more_than_waiting(replies: list[Reply]) -> None:
    """A valid request may succeed, be accepted or be in flight. Nothing else is allowed."""
    unexpected = [reply for reply in replies if reply.status not in (200, 202, 409)]
    assert not unexpected, unexpected


def _require_all_paid(shop: HttpShop, books: Books, writes: list[Write], seconds: float) -> None:
    """Requires all to be paid without a repetition. Only then are the requests repeated."""
    deadline = time.monotonic() + seconds
    for write in writes:
        saga = books.wait_for_saga(write.key, max(deadline - time.monotonic(), 1), "completed")
        books.require_terminal(saga["id"], "completed")
        paid = books.require_paid_once(write.body["order_no"])
        reply = shop.repeat_until_final(write, IDEMPOTENCY_LEASE_SECONDS + 2)
        assert (reply.status, reply.data["payment_no"]) == (200, paid["payment_no"])
