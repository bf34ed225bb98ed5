"""Metrics of the connection pool of each process."""

import threading
import time

from django.db import connection
from prometheus_client import Counter, Gauge

USAGE = Counter("db_pool_usage_seconds_total", "Time that connections were in use, added up")
WAITS = Counter("db_pool_waits_total", "Times that no connection was free")
WAIT = Counter("db_pool_wait_seconds_total", "Time spent waiting for a free connection")
TIMEOUTS = Counter("db_pool_timeouts_total", "Times that no connection became free in time")
FAILURES = Counter("db_pool_connection_failures_total", "Connections that could not be made or were lost")
SIZE = Gauge("db_pool_max_connections", "Connections that may be open", multiprocess_mode="livesum")

EVERY_SECONDS = 1.0
_counting = threading.Lock()
_next = 0.0


def record_usage() -> None:
    """Adds the pool's counts since the last call to the metrics. At most once a second, so that it costs nothing."""
    global _next
    now = time.monotonic()
    if now < _next or not _counting.acquire(blocking=False):
        return
    try:
        _next = now + EVERY_SECONDS
        # `connection.pool` would open a pool in a process that has not used the database.
        pool = connection._connection_pools.get(connection.alias)  # type: ignore[attr-defined]
        if pool is None:
            return
        stats = pool.pop_stats()
    finally:
        _counting.release()
    USAGE.inc(stats.get("usage_ms", 0) / 1000)
    WAITS.inc(stats.get("requests_queued", 0))
    WAIT.inc(stats.get("requests_wait_ms", 0) / 1000)
    TIMEOUTS.inc(stats.get("requests_errors", 0))
    FAILURES.inc(stats.get("connections_errors", 0) + stats.get("connections_lost", 0))
    SIZE.set(stats["pool_max"])
