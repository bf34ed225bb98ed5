"""Bounded polling."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# What a machine that does something else at the same time may add to any wait.
LOADED_SECONDS = 30.0

# Each look comes half as long again after the one before, so that a long wait takes little of the processor.
FIRST_INTERVAL, GROWTH, LONGEST_INTERVAL = 0.02, 1.5, 0.25


def wait_until(condition: Callable[[], T], seconds: float, what: str, *, interval: float | None = None) -> T:
    """The first true value of `condition`. Fails the test, saying what did not come, when it takes too long.
    With an `interval`, all looks are so many seconds apart: for what is true only for a moment."""
    deadline = time.monotonic() + seconds
    pause = interval or FIRST_INTERVAL
    while not (value := condition()):
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {seconds:g} s for {what}")
        time.sleep(pause)
        pause = interval or min(pause * GROWTH, LONGEST_INTERVAL)
    return value
