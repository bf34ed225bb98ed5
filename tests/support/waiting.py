"""Polls until a condition is true, for a limited time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# A test waits this long for an event that must come: minutes, because the machine may be slow and busy. Only a failing
# test waits this long.
PATIENCE_SECONDS = 240.0
PATIENCE_MILLISECONDS = PATIENCE_SECONDS * 1000  # for a browser
# Such a machine may add this to a wait whose length is part of the test.
LOADED_SECONDS = 120.0

# Each pause is half as long again as the one before, so that a long wait takes little of the processor.
FIRST_INTERVAL, GROWTH, LONGEST_INTERVAL = 0.02, 1.5, 0.25


def wait_until(condition: Callable[[], T], seconds: float, what: str, *, interval: float | None = None) -> T:
    """Returns the first true value of `condition`. Fails the test and names `what` when it takes too long. With an
    `interval` it looks every so many seconds, for a condition that is true only for a moment."""
    deadline = time.monotonic() + seconds
    pause = interval or FIRST_INTERVAL
    while not (value := condition()):
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {seconds:g} s for {what}")
        time.sleep(pause)
        pause = interval or min(pause * GROWTH, LONGEST_INTERVAL)
    return value
