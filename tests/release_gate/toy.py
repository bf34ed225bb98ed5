"""A module that test_mutants.py changes."""

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LEFT_BEHIND: list[int] = []


def twice(function: Callable[..., int]) -> Callable[..., int]:
    @functools.wraps(function)
    def run(*given: Any) -> int:
        return 2 * function(*given)

    return run


@dataclass(frozen=True, slots=True)
class Basket:
    apples: int

    @property
    def is_full(self) -> bool:
        return self.apples >= 10


@twice
def add(one: int, other: int = 1) -> int:
    return one + other


@functools.lru_cache
def square(number: int) -> int:
    return number * number


def count_down(number: int) -> int:
    while number > 0:
        time.sleep(0.001)
        number -= 1
    return number


def measure(number: int) -> int:
    return number - len(LEFT_BEHIND)


def never_called(number: int) -> int:
    return number
