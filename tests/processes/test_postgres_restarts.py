"""`pg_ctl restart -m immediate` under requests: all answers hold afterwards, and nothing happens twice."""

import threading
import time
from collections.abc import Callable

import pytest

from tests.support.books import Books
from tests.support.http_shop import HttpShop, Reply, Write, payment
from tests.support.processes import RECOVERY_SECONDS, START_SECONDS, Platform
from tests.support.waiting import LOADED_SECONDS, wait_until

pytestmark = pytest.mark.processes

# After an outage that lasted the ten seconds of the pool's timeout, its waits between attempts have grown.
POOL_RECONNECT_SECONDS = 40.0
# Worker and web find their connections dead one by one, each at its next use.
RECONNECT_SECONDS = 10.0


def test_restart_under_requests(platform: Platform, shop: HttpShop, books: Books) -> None:
    load = _Load(shop)
    load.run_until(lambda: len(load.answers) >= 10)
    platform.stop_postgres()
    time.sleep(0.5)  # requests meet the absent server
    platform.start_postgres()
    settled = len(load.answers) + 20
    load.run_until(lambda: len(load.answers) >= settled)
    load.end()
    unexpected = {reply.status for reply in load.answers} - {200, 202, 503}
    assert not unexpected, [reply for reply in load.answers if reply.status in unexpected]
    done = {reply.data["payment_no"] for reply in load.answers if reply.status == 200}
    assert done, "the load never got through"
    for write in load.writes:
        reply = shop.repeat_until_final(write, RECONNECT_SECONDS + RECOVERY_SECONDS)
        paid = books.require_paid_once(write.body["order_no"])
        assert (reply.status, reply.data["payment_no"]) == (200, paid["payment_no"])
        books.require_terminal(paid["id"], "completed")
        done.discard(paid["payment_no"])
    assert not done, f"answered with 200 and not there any more: {done}"


def test_restart_while_a_retry_is_open(platform: Platform, shop: HttpShop, books: Books) -> None:
    """The Celery worker and beat survive the restart and finish the retry by themselves."""
    writes = [payment("auto_pay,no_webhook,timeout_after*2,query:slow:1*2") for _ in range(4)]
    for write in writes:
        assert shop.send(write).status == 202
    books.wait_for_slow_call(writes[0].key, "query")
    platform.stop_postgres()
    platform.start_postgres()
    for write in writes:
        saga = books.wait_for_saga(write.key, RECONNECT_SECONDS + RECOVERY_SECONDS, "completed")
        books.require_terminal(saga["id"], "completed")
        books.require_paid_once(write.body["order_no"])
    for process in (platform.worker, platform.beat, platform.web):
        process.require_running()


def test_stopped_database(platform: Platform, shop: HttpShop, books: Books) -> None:
    """Writes and reads get 503 in the API's shape, and work again afterwards."""
    known = shop.succeeded_payment()
    platform.stop_postgres()
    write = payment("auto_pay,no_webhook")
    answers = [shop.send_later(write) for _ in range(3)]
    read = shop.get(f"/api/v1/payments/{known['payment_no']}")
    for reply in (read, *(answer.result() for answer in answers)):
        assert (reply.status, reply.json["error_code"]) == (503, "service_unavailable"), reply
        assert int(reply.headers["Retry-After"]) >= 1
    assert shop.get("/healthz").status == 200
    platform.start_postgres()
    reply = shop.repeat_until_final(write, POOL_RECONNECT_SECONDS)
    assert reply.data["status"] == "succeeded"
    books.require_paid_once(write.body["order_no"])


def test_periodic_tasks_meet_an_absent_database_in_one_line(platform: Platform) -> None:
    """The log has no stack trace of Celery for an unexpected error."""
    before = platform.worker.log.stat().st_size

    def written() -> bytes:
        return platform.worker.log.read_bytes()[before:]

    platform.stop_postgres()
    wait_until(lambda: b"task.database_unavailable" in written(), LOADED_SECONDS, "a periodic task's line")
    platform.start_postgres()
    wait_until(lambda: b"succeeded in" in written(), LOADED_SECONDS, "a periodic task that succeeds")
    assert b"raised unexpected" not in written()


class _Load:
    """Threads of two merchants that create payments, each as soon as the last one was answered."""

    def __init__(self, shop: HttpShop) -> None:
        self.shop = shop
        self.writes: list[Write] = []
        self.answers: list[Reply] = []
        self.errors: list[Exception] = []
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._pay) for _ in range(2)]
        for thread in self._threads:
            thread.start()

    def _pay(self) -> None:
        while not self._ended.is_set():
            write = payment("auto_pay,no_webhook")
            self.writes.append(write)
            try:
                self.answers.append(self.shop.send(write))
            except Exception as error:  # noqa: BLE001 - raised in the test's own thread
                self.errors.append(error)
                return

    def run_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not condition():
            if self.errors or time.monotonic() > deadline:
                self.end()
                raise AssertionError("the load does not get through")
            time.sleep(0.02)

    def end(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        if self.errors:
            raise self.errors[0]
