"""Places for work: how many threads of a process use CPU and database at a time (ADR 37).

A thread that waits for another system gives its place up, so there may be hundreds of such threads and few places. It
gets a place back before work that has not begun: begun work never waits behind new work.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass


def can_hold_another(*, held: int, free: int) -> bool:
    """Applies the rule of fair shares: nobody holds more places than stay free, and a newcomer gets any free one.

    One key alone gets half of the places, two get a third each.
    """
    return free > 0 and (held == 0 or held + 1 <= free - 1)


class WorkPlaces:
    """The places of one process. `on_release` is called when a place has become free for new work."""

    def __init__(self, places: int, on_release: Callable[[], None] = lambda: None) -> None:
        self._free = places
        self._on_release = on_release
        self._held: Counter[Hashable] = Counter()
        self._returning: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    def try_take(self, key: Hashable) -> "WorkPlace | None":
        """A place for new work of this key, or None: all are taken, returning work waits, or the key holds its
        share."""
        with self._lock:
            if self._returning or not can_hold_another(held=self._held[key], free=self._free):
                return None
            self._free -= 1
            self._held[key] += 1
            return WorkPlace(self, key)

    def release(self, key: Hashable) -> None:
        with self._lock:
            self._held[key] -= 1
            if self._returning:
                self._returning.popleft().set()  # the place passes from one thread to the other
                return
            self._free += 1
        self._on_release()

    def take_again(self, key: Hashable) -> None:
        """Waits for a place, first come, first served."""
        with self._lock:
            self._held[key] += 1
            if self._free:
                self._free -= 1
                return
            arrival = threading.Event()
            self._returning.append(arrival)
        arrival.wait()


@dataclass(frozen=True, slots=True)
class WorkPlace:
    """A place that one thread holds."""

    places: WorkPlaces
    key: Hashable

    def release(self) -> None:
        self.places.release(self.key)

    def take_again(self) -> None:
        self.places.take_again(self.key)
