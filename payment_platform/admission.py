"""Decides which requests a gateway process works on, which ones wait, and which ones it refuses (ADR 37).

A request gets a thread only with a place for work. Places are scheduled fairly: round robin over the lanes, and within
a lane round robin over the merchants. A lane never holds all places. A full lane refuses a request of the merchant with
the most requests in it: 503 before any work, and the client repeats it.
"""

import enum
import os
import threading
from collections import deque
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog
from prometheus_client import Counter, Gauge

from common.external_calls import hold_place
from common.work_places import WorkPlace, WorkPlaces
from payment_platform.fair_queue import FairQueue

log = structlog.get_logger(__name__)

# Requests of one lane that wait in one process, at most. Above that they are answered 503 at once.
QUEUE_LENGTH = int(os.environ.get("WEB_QUEUE_LENGTH", "160"))
# How long a request waits, at most, before it is answered 503.
QUEUE_SECONDS = float(os.environ.get("WEB_QUEUE_SECONDS", "20"))

REFUSED = Counter("http_requests_refused_total", "Requests answered 503 before any work", ["lane"])
WAITING = Gauge(
    "http_requests_waiting", "Requests that wait for a place", ["lane"], multiprocess_mode="livesum"
)


class RequestLane(enum.StrEnum):
    PROBES = "probes"
    WEBHOOKS = "webhooks"
    READS = "reads"
    WRITES = "writes"
    PAGES = "pages"  # the back office, payment pages, documents


_PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


def choose_lane(method: str, path: str) -> RequestLane:
    if path in _PROBES:
        return RequestLane.PROBES
    if not path.startswith("/api/v1/"):
        return RequestLane.PAGES
    if method in _READING:
        return RequestLane.READS
    return RequestLane.WEBHOOKS if path.startswith("/api/v1/webhooks/") else RequestLane.WRITES


class PendingRequest(Protocol):
    """A connection whose next request has arrived."""

    @property
    def lane(self) -> RequestLane: ...
    @property
    def fairness_key(self) -> Hashable:
        """The keys of a lane are served round robin. None: all unknown callers together."""

    def refuse(self) -> None:
        """Lets `service` answer 503."""

    def service(self) -> None:
        """Answers the request. May begin the next one of the connection with `add_task`."""

    def cancel(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Started:
    """A request for the next free thread. `place` is None for one that is refused."""

    request: PendingRequest
    place: WorkPlace | None


class Admission:
    """Starts requests in up to `threads` threads, of which `places` work at a time; the others are in calls.

    It takes the part of waitress's dispatcher. A thread is started when none is idle.
    """

    def __init__(
        self,
        *,
        places: int,
        threads: int,
        queue_length: int = QUEUE_LENGTH,
        queue_seconds: float = QUEUE_SECONDS,
    ) -> None:
        self._places = WorkPlaces(places, on_release=self._start_next)
        self._max_threads, self._queue_seconds = threads, queue_seconds
        self._waiting: Mapping[RequestLane, FairQueue[PendingRequest]] = {
            lane: FairQueue(queue_length) for lane in RequestLane
        }
        for lane in RequestLane:
            REFUSED.labels(lane)  # 0 until the first one: an increase is seen only between two values
        self._lanes = deque(RequestLane)
        self._started: deque[_Started] = deque()
        self._threads = self._idle = 0
        self._is_over = False
        self._lock = threading.Lock()
        self._has_started = threading.Condition(self._lock)

    def add_task(self, request: PendingRequest) -> None:
        with self._lock:
            refused = self._waiting[request.lane].add(request.fairness_key, request)
            if refused is not None:
                self._refuse(refused)
            self._start_waiting()

    def check_queues(self) -> None:
        """Refuses requests that have waited too long. Called every second."""
        with self._lock:
            for lane, queue in self._waiting.items():
                self._refuse_overdue(queue)
                WAITING.labels(lane).set(len(queue))

    def shutdown(self) -> None:
        with self._lock:
            self._is_over = True
            for queue in self._waiting.values():
                while queue:
                    queue.pop().cancel()
            self._has_started.notify_all()

    def _start_next(self) -> None:
        with self._lock:
            self._start_waiting()

    def _start_waiting(self) -> None:
        """Starts requests as long as there are places and threads, round robin over the lanes.

        A request that held a place while it waits for a thread would keep it from the threads that return from calls,
        which are the ones that it waits for.
        """
        lanes_without_start = 0
        while lanes_without_start < len(self._lanes) and self._has_thread():
            lane = self._lanes[0]
            self._lanes.rotate(-1)
            queue = self._waiting[lane]
            self._refuse_overdue(queue)
            place = self._places.try_take(lane) if queue and self._has_thread() else None
            if place is None:
                lanes_without_start += 1
                continue
            lanes_without_start = 0
            self._start(_Started(queue.pop(), place))

    def _has_thread(self) -> bool:
        """Whether a thread is idle, or can be started, for one more request."""
        return self._idle + self._max_threads - self._threads > len(self._started)

    def _refuse_overdue(self, queue: FairQueue[PendingRequest]) -> None:
        for request in queue.pop_older(self._queue_seconds):
            self._refuse(request)

    def _refuse(self, request: PendingRequest) -> None:
        REFUSED.labels(request.lane).inc()
        request.refuse()
        self._start(_Started(request, None))

    def _start(self, started: _Started) -> None:
        self._started.append(started)
        if self._idle >= len(self._started):
            self._has_started.notify()
        elif self._threads < self._max_threads:
            threading.Thread(target=self._run, name=f"request-{self._threads + 1}", daemon=True).start()
            self._threads += 1

    def _run(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
                self._start_waiting()
                while not self._started and not self._is_over:
                    self._has_started.wait()
                self._idle -= 1
                if not self._started:
                    return
                started = self._started.popleft()
            self._serve(started)

    def _serve(self, started: _Started) -> None:
        try:
            if started.place is None:
                started.request.service()
                return
            with hold_place(started.place):
                started.request.service()
        except Exception:  # a connection that fails in any way must not end the thread, which serves others
            log.exception("request.connection_failed")
