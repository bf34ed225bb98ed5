"""The clocks of web, worker and beat are wrong by an hour, in different directions. Only PostgreSQL's clock counts: no
worker claims a saga whose lease still runs, and no retry is lost.

Beat's messages expire by its own clock, so they live longer than the clocks differ. The timestamp of a request is
compared with the database's clock, so a host with a wrong clock serves a merchant with a right one. The timestamp of a
channel's webhook is compared with the host's clock: the channel sends a refused webhook again, and the platform polls.
"""

import datetime as dt
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from celery import Celery, current_app

from payment_platform.beat import SteadyScheduler
from tests.processes.flows import CREATE, PAYMENT_CANCEL, PAYMENT_CREATE, REFUND_CREATE, Flow
from tests.support.books import Books
from tests.support.http_shop import HttpShop, NoAnswer, Write, payment
from tests.support.processes import Platform, Process, wait_for_death
from tests.support.waiting import LOADED_SECONDS

pytestmark = pytest.mark.processes

# Longer than in other tests: on a slow machine too, no worker may resume a saga during a call of one second.
LEASE_SECONDS = 6.0
HELD = "auto_pay,no_webhook,slow:1"
LOST = "auto_pay,no_webhook,timeout_after"
# Web, worker, beat, whose schedule is of the time before.
HOURS, MORE_HOURS = ((-1, 1, -1),), ((1, -1, 0),)


class Clocks:
    """Wrong clocks for these three processes only."""

    def __init__(self, platform: Platform) -> None:
        found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        assert found, "libfaketime is missing"
        self._library = str(found[0])
        self._platform = platform
        self._processes: list[Process] = [platform.web, platform.worker, platform.beat]
        self._right = [process.environment for process in self._processes]

    def put_in(self, hours: tuple[int, ...]) -> None:
        for process, right, by in zip(self._processes, self._right, hours, strict=True):
            process.environment = {
                **right,
                "LD_PRELOAD": self._library,
                "FAKETIME": f"{by:+d}h",
                "NO_FAKE_STAT": "1",
                "SAGA_LEASE_SECONDS": str(LEASE_SECONDS),
            }
        self._restart()

    def take_out(self) -> None:
        for process, environment in zip(self._processes, self._right, strict=True):
            process.environment = environment
        self._restart()

    def _restart(self) -> None:
        for process in self._processes:
            process.kill()
            process.start()
        self._platform.wait_until_ready()


@pytest.fixture
def clocks(platform: Platform) -> Iterator[Clocks]:
    clocks = Clocks(platform)
    yield clocks
    clocks.take_out()


def test_clocks_that_are_wrong(
    clocks: Clocks, platform: Platform, shop: HttpShop, books: Books, pytestconfig: pytest.Config
) -> None:
    done = payment("auto_pay,no_webhook")
    body = shop.send(done).body
    for hours in HOURS + (MORE_HOURS if pytestconfig.getoption("--long", False) else ()):
        clocks.put_in(hours)
        _require_the_web_is_off(shop, hours[0])
        held, lost = [payment(HELD) for _ in range(2)], [payment(LOST) for _ in range(2)]
        answers = [shop.send_later(write) for write in held]
        assert [shop.send(write).status for write in lost] == [202, 202]
        for flow in (PAYMENT_CREATE, PAYMENT_CANCEL, REFUND_CREATE):
            _require_at_once(shop, books, flow)
        for write, answer in zip(held, answers, strict=True):
            assert answer.result().status == 200
            _require_never_taken_over(books, write)
        for write in lost:
            books.wait_for_saga(write.key, LOADED_SECONDS, "completed")
            books.require_paid_once(write.body["order_no"])
        again = shop.send(done)
        assert (again.body, again.headers["Idempotent-Replayed"]) == (body, "true")
        _require_a_lease_ends_by_the_databases_clock(platform, shop, books)


def _require_a_lease_ends_by_the_databases_clock(platform: Platform, shop: HttpShop, books: Books) -> None:
    """The web worker is killed in a call. A worker resumes when the lease has expired, not an hour earlier or later."""
    write, web = payment("auto_pay,no_webhook"), platform.web_worker()
    platform.arm(web, crash_at=f"saga.call.before:{CREATE}")
    with pytest.raises(NoAnswer):
        shop.send(write)
    wait_for_death(web)
    held = books.require_saga(write.key)
    saga = books.wait_for_saga(write.key, LEASE_SECONDS, "completed")
    query = "SELECT min(created_at) AS at FROM saga_events WHERE saga_id = %s AND fence > %s"
    taken_over = books.row(query, saga["id"], held["fence"])
    assert taken_over is not None
    assert taken_over["at"] >= held["lease_expires_at"]
    books.require_paid_once(write.body["order_no"])


@pytest.fixture
def celery() -> Iterator[Celery]:
    """An app without a broker. It is the current app, because a schedule uses the clock of that one."""
    before, app = current_app._get_current_object(), Celery(broker="memory://")  # type: ignore[attr-defined]
    yield app
    before.set_current()


def test_beat_whose_clock_is_set_while_it_runs(celery: Celery, tmp_path: Path) -> None:
    """Whether the clock is set back or forward, each task keeps its interval."""
    schedule = {name: {"task": name, "schedule": 1.0} for name in ("sweep", "expire")}
    celery.conf.beat_schedule = schedule
    clock = [dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)]
    celery.now = lambda: clock[-1]
    scheduler = SteadyScheduler(app=celery, schedule_filename=str(tmp_path / "schedule"))
    counts = []
    for seconds in (2, 2, -3600, 2, 3600, 2):
        clock.append(clock[-1] + dt.timedelta(seconds=seconds))
        while scheduler.tick() == 0:
            pass
        counts.append([scheduler.schedule[name].total_run_count for name in schedule])
    scheduler.close()
    assert counts[1:] == [[count, count] for count in (counts[0][0] + n for n in (1, 1, 2, 3, 4))]


def _require_the_web_is_off(shop: HttpShop, hours: int) -> None:
    """Requires that the web process reports a wrong time, so that the test tests something."""
    stamp = shop.get("/healthz").headers["Date"]
    off = parsedate_to_datetime(stamp).timestamp() - time.time()
    assert abs(off - hours * 3600) < LOADED_SECONDS, stamp


def _require_at_once(shop: HttpShop, books: Books, flow: Flow) -> None:
    write = flow.prepare(shop)
    reply = shop.send(write)
    assert reply.status == 200, str(reply)
    flow.verify(books, write, reply)


def _require_never_taken_over(books: Books, write: Write) -> None:
    assert books.require_saga(write.key)["fence"] == 1
    books.require_paid_once(write.body["order_no"])
