"""The process that tells endpoints: one thread claims, the others call. Any number of these processes may run."""

import threading
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from psycopg_pool import PoolTimeout

from common.database_errors import trouble_of
from webhooks import claims, delivery, metrics
from webhooks.claims import Claim
from webhooks.models import DisabledReason, Lane

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.2
RECONNECT_SECONDS = 2.0


class Worker:
    """`threads` calls at once, of which a quarter may be to endpoints that were slow or failed last time."""

    def __init__(self, *, threads: int) -> None:
        self._places = {Lane.FAST: threads, Lane.SLOW: max(1, threads // 4)}
        self._threads = threads
        self._busy: Counter[Lane] = Counter()
        self._lock = threading.Lock()
        self._free = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Works until `stop` is set, then lets the calls under way end. Survives outages of the database."""
        connected = True
        with ThreadPoolExecutor(self._threads, thread_name_prefix="webhook") as pool:
            while not stop.is_set():
                try:
                    claimed = self._claim_and_submit(pool)
                    connected = True
                except (DatabaseError, InterfaceError, PoolTimeout) as error:
                    if trouble_of(error) is None:
                        raise
                    if connected:
                        log.warning(
                            "webhooks.database_lost", reason=str(error), retry_seconds=RECONNECT_SECONDS
                        )
                    connected, claimed = False, 0
                    stop.wait(RECONNECT_SECONDS)
                finally:
                    connection.close()  # back to the pool: others may need it while we wait
                if not claimed:
                    self._free.wait(POLL_SECONDS)
                    self._free.clear()
        log.info("webhooks.stopped")

    def _claim_and_submit(self, pool: ThreadPoolExecutor) -> int:
        claimed = 0
        for lane in (Lane.FAST, Lane.SLOW):
            for claim in claims.claim(lane=lane, places=self._free_places(lane)):
                self._take(lane)
                pool.submit(self._deliver, claim).add_done_callback(partial(self._done, lane, claim))
                claimed += 1
        return claimed

    def _free_places(self, lane: Lane) -> int:
        with self._lock:
            return min(self._places[lane] - self._busy[lane], self._threads - self._busy.total())

    def _take(self, lane: Lane) -> None:
        with self._lock:
            self._busy[lane] += 1

    def _deliver(self, claim: Claim) -> None:
        try:
            delivery.attempt(claim)
        finally:
            connection.close()

    def _done(self, lane: Lane, claim: Claim, done: "Future[None]") -> None:
        with self._lock:
            self._busy[lane] -= 1
        self._free.set()
        if (error := done.exception()) is not None:
            # Nothing was recorded, so it is due again when its lease ends.
            log.error("webhook.attempt_not_recorded", delivery_id=str(claim.delivery_id), exc_info=error)


def run(stop: threading.Event) -> None:
    metrics.announce_disabling([DisabledReason.GONE.value, DisabledReason.FAILING.value])
    log.info("webhooks.started", threads=settings.WEBHOOK_THREADS)
    Worker(threads=settings.WEBHOOK_THREADS).run(stop)
