"""A queue that serves its keys round robin, so that one merchant never takes the places of the others."""

import time
from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[T]):
    item: T
    since: float = field(default_factory=time.monotonic)


class FairQueue(Generic[T]):
    """Serves the keys round robin. The items of one key keep their order.

    A full queue drops an item of the key with the most items. So one key alone may fill the queue, and every other key
    still finds a place in it.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._count = 0
        self._by_key: dict[Hashable, deque[_Waiting[T]]] = {}  # the key that is served next comes first

    def __len__(self) -> int:
        return self._count

    def add(self, key: Hashable, item: T) -> T | None:
        """Adds the item. Returns the item without a place: this one, or the newest of the key with the most items."""
        dropped = None
        if self._count >= self._length:
            longest = max(self._by_key, key=lambda each: len(self._by_key[each]), default=key)
            if longest == key or len(self._by_key[longest]) <= len(self._by_key.get(key, ())) + 1:
                return item
            dropped = self._by_key[longest].pop().item
            self._count -= 1
        self._by_key.setdefault(key, deque()).append(_Waiting(item))
        self._count += 1
        return dropped

    def pop(self) -> T:
        """Removes and returns the oldest item of the next key. Raises `IndexError` when the queue is empty."""
        if not self._by_key:
            raise IndexError("the queue is empty")
        key = next(iter(self._by_key))
        items = self._by_key.pop(key)
        item = items.popleft().item
        if items:
            self._by_key[key] = items  # behind the other keys
        self._count -= 1
        return item

    def pop_older(self, seconds: float) -> Iterator[T]:
        """Removes and returns the items that have waited longer than this."""
        oldest = time.monotonic() - seconds
        for key, items in list(self._by_key.items()):
            while items and items[0].since < oldest:
                self._count -= 1
                yield items.popleft().item
            if not items:
                del self._by_key[key]
