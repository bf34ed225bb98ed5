"""Judges of toy.py, run by test_mutants.py. No test of the suite: its name does not begin with `test_`."""

from tests.release_gate import toy


def test_baskets() -> None:
    assert toy.Basket(10).is_full
    assert not toy.Basket(3).is_full


def test_sums() -> None:
    assert toy.add(2) == 6
    assert toy.square(3) == 9
    assert toy.count_down(2) == 0


def test_measure() -> None:
    assert toy.measure(5) == 5
