"""Bounded polling."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# How long a test waits for an event that must come: minutes, for a machine that is slow and does something else at the
# same time. Only a failing test waits as long.
PATIENCE_SECONDS = 240.0
PATIENCE_MILLISECONDS = PATIENCE_SECONDS * 1000  # for a browser
# What such a machine may add to a wait whose length says something.
LOADED_SECONDS = 120.0

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
