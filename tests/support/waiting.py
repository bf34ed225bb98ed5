"""Bounded polling."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# What a machine that does something else at the same time may add to any wait.
LOADED_SECONDS = 30.0


def wait_until(condition: Callable[[], T], seconds: float, what: str, *, interval: float = 0.02) -> T:
    """The first true value of `condition`. Fails the test, saying what did not come, when it takes too long."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {seconds:g} s for {what}")
        time.sleep(interval)
    return value
