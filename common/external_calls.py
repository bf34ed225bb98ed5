"""Calls to other systems take seconds. A thread that waits for one holds no database connection and no place for work.

hold_place()             around the whole work of a thread
release_while_waiting()  around each call in it: connections and place are free meanwhile
use_fairness_key()       around the calls that are made for one merchant
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.db import connections

from common.work_places import WorkPlace

# The merchant for whom this thread makes calls: merchants take turns for the places of `channels/call_places.py`.
fairness_key: ContextVar[str] = ContextVar("fairness_key", default="")
_thread = threading.local()


def release_connections() -> None:
    """Gives this thread's database connections back to the pool. The next statement takes one again.

    Called before every call to another system. No transaction may be open during a call.
    """
    for connection in connections.all(initialized_only=True):
        assert not connection.in_atomic_block, "no transaction may be open during a call to another system"
        connection.close()


@contextmanager
def hold_place(place: WorkPlace) -> Iterator[None]:
    """Makes the place that of this thread, until its work ends; `release_while_waiting` releases it in between."""
    _thread.place = place
    try:
        yield
    finally:
        _thread.place = None
        place.release()


@contextmanager
def release_while_waiting() -> Iterator[None]:
    """Releases this thread's connections and place for work during a call. Afterwards it waits for a place again."""
    release_connections()
    place: WorkPlace | None = getattr(_thread, "place", None)
    if place is None:
        yield
        return
    _thread.place = None
    place.release()
    try:
        yield
    finally:
        place.take_again()
        _thread.place = place


@contextmanager
def use_fairness_key(key: str) -> Iterator[None]:
    """Sets the fairness key of the calls that this thread makes inside."""
    token = fairness_key.set(key)
    try:
        yield
    finally:
        fairness_key.reset(token)
