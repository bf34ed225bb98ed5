"""Calls to other systems take seconds. Meanwhile they hold no database connection and no place for work."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.db import connections

from common.work_places import WorkPlace

# The merchant for whom calls are made, in the words of the sagas: calls of one key take their turns with others.
fairness_key: ContextVar[str] = ContextVar("fairness_key", default="")
_thread = threading.local()


def release_connections() -> None:
    """Gives this thread's database connections back to the pool. The next statement takes one again.

    Called before every call to another system. No transaction may be open across a call.
    """
    for connection in connections.all(initialized_only=True):
        assert not connection.in_atomic_block, "no transaction may be open across a call to another system"
        connection.close()


@contextmanager
def hold_place(place: WorkPlace) -> Iterator[None]:
    """Releases the place at the end of the work of this thread, and in between during its calls."""
    _thread.place = place
    try:
        yield
    finally:
        _thread.place = None
        place.release()


@contextmanager
def call_outside() -> Iterator[None]:
    """Wraps a call: the thread gives up its connections and its place for work, and gets the place back afterwards."""
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
def call_for(key: str) -> Iterator[None]:
    """Makes the calls inside for this fairness key."""
    token = fairness_key.set(key)
    try:
        yield
    finally:
        fairness_key.reset(token)
