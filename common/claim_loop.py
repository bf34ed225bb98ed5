"""Claims due work from the database, as much as this process has free places for (ADR 22).

One thread claims, the others work. It claims when it is woken, when a place becomes free while more work is due, and
otherwise every `poll_seconds`. It needs nothing but the database. Any number of processes may run one.

The webhook worker, the saga workers and the pollers use the same words: a *place* does one item at a time; a *claim*
takes due items for this process; an item is *due* at a time in its row, and a claim moves that time on or sets a
*lease*; items *in flight* are claimed and not finished; *held* counts them for each merchant or fairness key.
"""

import functools
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connections
from prometheus_client import Gauge
from psycopg_pool import PoolTimeout

from common import database_pool, telemetry, tracing
from common.database_errors import classify_database_error
from common.external_calls import hold_place
from common.postgresql.schema import wait_for_migrations
from common.work_places import WorkPlace, WorkPlaces

T = TypeVar("T")
log = structlog.get_logger(__name__)

RECONNECT_SECONDS = 2.0
# Waited before a claim, so that one claim fills places that become free shortly after each other.
GATHER_SECONDS = 0.01
STOP_SECONDS = 0.25  # how soon a waiting worker notices that it must stop
BUSY = Gauge(
    "worker_places_busy", "Places of a worker that are taken", ["worker"], multiprocess_mode="livesum"
)
PLACES = Gauge("worker_places", "Places of a worker", ["worker"], multiprocess_mode="livesum")
LAST_CLAIM = Gauge(
    "worker_last_claim_timestamp_seconds",
    "When a worker last claimed; a worker that hangs shows here",
    ["worker"],
    multiprocess_mode="mostrecent",
)


@dataclass(frozen=True, slots=True)
class Claimed(Generic[T]):
    """The items of one claim. `more`: due work is left for the next free place. `claim_again`: the claim has not looked
    at all due work, so that the next one follows at once."""

    items: Sequence[T]
    more: bool = False
    claim_again: bool = False


@functools.cache
def _get_work_places() -> WorkPlaces:
    """The places for work of all loops in this process. Most of the work in flight waits for another system."""
    return WorkPlaces(settings.WORKER_PLACES)


class ClaimLoop(Generic[T]):
    """Claims with `claim(in_flight, free_places)` and works with `work(item)`, `places` items at a time."""

    def __init__(
        self,
        *,
        name: str,
        places: int,
        claim: Callable[[Sequence[T], int], Claimed[T]],
        work: Callable[[T], object],
        poll_seconds: float,
    ) -> None:
        self.name = name
        self.has_room = threading.Event()
        self.has_room.set()
        self._places, self._poll_seconds = places, poll_seconds
        self._claim, self._work = claim, work
        self._in_flight: list[T] = []
        self._lock = threading.Lock()
        self._event = threading.Event()
        self._more = True
        PLACES.labels(name).set(places)

    def wake(self) -> None:
        """Claims soon, because work may be due."""
        self._event.set()

    def run(self, stop: threading.Event) -> None:
        """Works until `stop` is set, then waits for the items in flight. Survives outages of the database."""
        log.info("worker.started", worker=self.name, places=self._places)
        with ThreadPoolExecutor(self._places, thread_name_prefix=self.name) as pool:
            while not stop.is_set():
                self._event.clear()
                # A place that becomes free during the claim leads to another claim.
                self._more = True
                claimed = self._claim_and_submit(pool, stop)
                if claimed is None:
                    stop.wait(RECONNECT_SECONDS)
                    continue
                if claimed.claim_again:
                    stop.wait(GATHER_SECONDS)
                    continue
                self._more = claimed.more or not self._free_places()
                if self._wait(stop) and self._more:
                    stop.wait(GATHER_SECONDS)
        log.info("worker.stopped", worker=self.name)

    def _wait(self, stop: threading.Event) -> bool:
        """Waits until it is woken, for `poll_seconds` or until `stop` is set. True when it was woken."""
        until = time.monotonic() + self._poll_seconds
        while not stop.is_set() and (left := until - time.monotonic()) > 0:
            if self._event.wait(min(left, STOP_SECONDS)):
                return True
        return False

    def _claim_and_submit(self, pool: ThreadPoolExecutor, stop: threading.Event) -> Claimed[T] | None:
        """None when the database is not reachable."""
        with self._lock:
            in_flight = list(self._in_flight)
        free = self._places - len(in_flight)
        if not free:
            return Claimed([], more=True)
        try:
            claimed = self._claim(in_flight, free)
        except (DatabaseError, InterfaceError, PoolTimeout) as error:
            if classify_database_error(error) is None:
                raise
            log.warning("worker.database_lost", worker=self.name, reason=str(error))
            return None
        finally:
            connections.close_all()  # back to the pool, because this thread waits next
        LAST_CLAIM.labels(self.name).set_to_current_time()
        for item in claimed.items:
            with self._lock:
                self._in_flight.append(item)
            self._update_gauges()
            pool.submit(self._work_on, item).add_done_callback(partial(self._finish, item))
        return claimed

    def _work_on(self, item: T) -> None:
        structlog.contextvars.clear_contextvars()
        place = WorkPlace(_get_work_places(), self.name)
        place.take_again()
        with hold_place(place):
            try:
                self._work(item)
            finally:
                database_pool.record_usage()
                connections.close_all()

    def _finish(self, item: T, future: "Future[None]") -> None:
        with self._lock:
            self._in_flight = [each for each in self._in_flight if each is not item]
        self._update_gauges()
        if (error := future.exception()) is not None:
            # Nothing was recorded: the item is due again when its lease expires, or at its next time.
            log.error("worker.item_failed", worker=self.name, exc_info=error)
        if self._more:
            self._event.set()

    def _free_places(self) -> int:
        with self._lock:
            return self._places - len(self._in_flight)

    def _update_gauges(self) -> None:
        free = self._free_places()
        BUSY.labels(self.name).set(self._places - free)
        if free:
            self.has_room.set()
        else:
            self.has_room.clear()


def run_together(*runs: Callable[[threading.Event], object]) -> None:
    """Runs each function in a thread until SIGTERM or SIGINT. When one fails, stops all and raises its error.

    Begins when the database has all migrations of this release.
    """
    telemetry.begin_process()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    wait_for_migrations(stop)
    with ThreadPoolExecutor(len(runs), thread_name_prefix="run") as pool:
        futures = [pool.submit(run, stop) for run in runs]
        for future in futures:
            future.add_done_callback(lambda _done: stop.set())
        # A signal just before the wait does not end it, because its handler runs only afterwards.
        while not stop.wait(STOP_SECONDS):
            pass
    tracing.flush()
    for future in futures:
        future.result()
