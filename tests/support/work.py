"""What one request costs, in counts that do not depend on the machine or its load."""

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


@dataclass(frozen=True, slots=True)
class Work:
    """`database_round_trips` are the statements with BEGIN and COMMIT, on the platform's connection."""

    statements: int
    commits: int
    database_round_trips: int
    redis_round_trips: int
    function_calls: int


def measure_work(prepare: Callable[[], Callable[[], object]]) -> Work:
    """Runs four prepared requests: two to fill caches, one to count what is sent, one to count function calls.

    Counting statements calls functions of its own, so the two are counted apart.
    """
    for _warm_up in range(2):
        prepare()()
    send = prepare()
    with count_redis_round_trips() as redis_round_trips, cost() as found:
        send()
    send = prepare()
    function_calls = _count_function_calls(send)
    return Work(
        statements=len(found.statements),
        commits=found.commits,
        database_round_trips=len(found.sql),
        redis_round_trips=len(redis_round_trips),
        function_calls=function_calls,
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


def _count_function_calls(send: Callable[[], object]) -> int:
    """Calls of Python and C functions in this thread."""
    calls = 0

    def profile(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    gc.collect()
    gc.disable()  # the objects of earlier tests would call their finalizers
    sys.setprofile(profile)
    try:
        send()
    finally:
        sys.setprofile(before)
        gc.enable()
    return calls
