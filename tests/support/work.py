"""Counts the work of one request. The counts do not depend on the machine or its load."""

import contextvars
import gc
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import redis.connection

from channels import shared_breaker_state
from tests.support.statements import cost

ROUNDS = 3

Prepare = Callable[[], Callable[[], object]]


@dataclass(frozen=True, slots=True)
class Work:
    """`database_round_trips` are the statements with BEGIN and COMMIT, on the platform's connection."""

    statements: int
    commits: int
    database_round_trips: int
    redis_round_trips: int
    function_calls: int


def measure_work(prepare: Prepare) -> Work:
    """Counts what a prepared request sends and calls when all its caches are filled.

    Caches expire after a second or more, whatever the number of requests. On a slow machine one may expire between
    two requests here, and its refill is not the work of a request. So each count is the smallest of three, and each
    counted request directly follows one that filled the caches. Counting statements calls functions of its own, so the
    two are counted apart.
    """
    sent = [_count_what_is_sent(prepare) for _round in range(ROUNDS)]
    return Work(
        statements=min(counts.statements for counts in sent),
        commits=min(counts.commits for counts in sent),
        database_round_trips=min(counts.database_round_trips for counts in sent),
        redis_round_trips=min(counts.redis_round_trips for counts in sent),
        function_calls=min(_count_function_calls(prepare) for _round in range(ROUNDS)),
    )


def _count_what_is_sent(prepare: Prepare) -> Work:
    fill_caches, send = prepare(), prepare()
    fill_caches()
    with count_redis_round_trips() as redis_round_trips, cost() as found:
        send()
    return Work(
        statements=len(found.statements),
        commits=found.commits,
        database_round_trips=len(found.sql),
        redis_round_trips=len(redis_round_trips),
        function_calls=0,
    )


@contextmanager
def count_redis_round_trips() -> Iterator[list[object]]:
    """redis-py sends a command, or a whole pipeline, with one call of this method. The breaker reads its shared state
    once a second, whatever the number of requests, so this is not counted."""
    sent: list[object] = []
    original = redis.connection.AbstractConnection.send_packed_command

    def send(self: Any, command: Iterable[bytes], *args: Any, **kwargs: Any) -> None:
        if shared_breaker_state.PREFIX.encode() not in b"".join(command):
            sent.append(command)
        original(self, command, *args, **kwargs)

    redis.connection.AbstractConnection.send_packed_command = send  # type: ignore[method-assign]
    try:
        yield sent
    finally:
        redis.connection.AbstractConnection.send_packed_command = original  # type: ignore[method-assign]


def _count_function_calls(prepare: Prepare) -> int:
    """Calls of Python and C functions in this thread.

    structlog looks at every context variable of the thread. An empty context has none of those that earlier tests set.
    """
    fill_caches, send = prepare(), prepare()
    context = contextvars.Context()
    calls = 0

    def profile(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    gc.collect()
    gc.disable()  # the objects of earlier tests would call their finalizers
    try:
        context.run(fill_caches)
        sys.setprofile(profile)
        context.run(send)
    finally:
        sys.setprofile(before)
        gc.enable()
    return calls
