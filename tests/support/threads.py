"""Runs calls at the same moment, on real threads with their own database connections."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from django.db import connection, connections

from tests.support.waiting import PATIENCE_SECONDS

T = TypeVar("T")


def at_once(*calls: Callable[[], T]) -> list[T]:
    """Runs the calls on threads that start at the same moment. Returns the results in the order of the calls."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], T]) -> T:
        try:
            barrier.wait()
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def in_background(call: Callable[[], T]) -> "Future[T]":
    """Starts the call on its own thread."""
    pool = ThreadPoolExecutor(1)

    def run() -> T:
        try:
            return call()
        finally:
            connections.close_all()

    future = pool.submit(run)
    pool.shutdown(wait=False)
    return future


def wait_until(holds: Callable[[], bool], *, seconds: float = PATIENCE_SECONDS) -> None:
    """Polls until another thread has made the condition true. Fails when it stays false."""
    give_up_at = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < give_up_at, "it did not happen in time"
        time.sleep(0.01)


def waiting_for_locks() -> int:
    """Returns how many connections of this database wait for a lock now."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_stat_clear_snapshot()"
        )  # inside a transaction the first result would be repeated
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        (count,) = cursor.fetchone()
    return int(count)
