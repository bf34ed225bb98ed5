"""The places of calls in flight: how many calls one process makes at a time, shared fairly (ADR 37).

Each call takes memory and a thread. They are in memory: a killed process leaves no place taken.
"""

import threading
from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from channels.metrics import CALLS_IN_FLIGHT
from common.work_places import can_hold_another

# How long a call waits for a place: a fast channel frees one within this time.
PLACE_WAIT_SECONDS = 0.05


class CallPlaces:
    """No account holds more places than stay free, and no merchant more than half as many.

    One slow account alone gets half of the places, and one merchant of a slow account a third: so the account has
    places for its other merchants, and every other account finds one.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._held: Counter[Hashable] = Counter()
        self._changed = threading.Condition()

    @contextmanager
    def take(self, account: Hashable, merchant: str) -> Iterator[bool]:
        """Yields whether there was a place."""
        with self._changed:
            has_place = self._changed.wait_for(
                lambda: self._has_capacity(account, merchant), timeout=PLACE_WAIT_SECONDS
            )
            if has_place:
                self._add(account, merchant, 1)
        if not has_place:
            yield False
            return
        try:
            yield True
        finally:
            with self._changed:
                self._add(account, merchant, -1)
                self._changed.notify_all()

    def _has_capacity(self, account: Hashable, merchant: str) -> bool:
        of_merchant = self._held[account, merchant]
        return can_hold_another(held=self._held[account], free=self._free) and (
            not merchant or can_hold_another(held=2 * of_merchant, free=self._free)
        )

    def _add(self, account: Hashable, merchant: str, change: int) -> None:
        self._free -= change
        CALLS_IN_FLIGHT.inc(change)
        for key in (account, (account, merchant)):
            self._held[key] += change
            if not self._held[key]:
                del self._held[key]
