import itertools
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support import shares


@dataclass(frozen=True)
class Test:
    """The part of a `pytest.Item` that the distribution of tests uses."""

    __test__ = False
    nodeid: str
    marker: str = ""

    def get_closest_marker(self, name: str) -> Any:
        return name == self.marker or None


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_every_test_is_in_one_slice_and_no_unit_is_split(
    request: pytest.FixtureRequest, workers: int
) -> None:
    items = request.session.items
    seconds = shares.recorded()
    dealt = shares.dealt(items, workers, seconds)
    assert sorted(item.nodeid for item in dealt) == sorted(item.nodeid for item in items)
    units = [shares.unit_of(item) for item in dealt if shares.seconds_of(item, seconds)]
    changes = sum(before != after for before, after in itertools.pairwise(units))
    assert changes == max(0, len(set(units)) - 1)


def test_each_slice_begins_with_expensive_tests() -> None:
    """`worksteal` gives each of two workers three of the six tests."""
    tests: list[Any] = [Test(f"tests/test_cheap.py::{name}") for name in "abcd"]
    tests += [Test("tests/test_one.py::e", "stack"), Test("tests/test_two.py::f")]
    dealt = shares.dealt(tests, 2, {"tests/test_two.py::f": 3.0})
    assert [test.nodeid[-1] for test in dealt] == ["e", "a", "b", "f", "c", "d"]


def test_the_fast_tier_has_no_expensive_test() -> None:
    seconds = {"tests/test_two.py::f": 3.0}
    fast = [
        Test("tests/test_cheap.py::a"),
        Test("tests/test_one.py::e", "browser"),
        Test("tests/test_two.py::f"),
    ]
    assert [test.nodeid[-1] for test in fast if shares.is_fast(test, seconds)] == ["a"]  # type: ignore[arg-type]
