"""Damage that a test does to the data, so that an integrity check must find it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Breakage:
    """`sql` breaks the rule of `check`.

    `row` is the row that the check must name: a field of `World`, or SQL that reads its number before anything is
    broken. Empty: any row.
    """

    check: str
    what: str
    sql: str
    row: str = ""
