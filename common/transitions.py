"""Reads a table of allowed status transitions: each status with the statuses that may follow it.

Each table has a trigger in the database and rows in docs/ARCHITECTURE.md; tests compare the three.
"""

from collections.abc import Iterable, Mapping
from typing import TypeVar

Status = TypeVar("Status", bound=str)


def quote_statuses(statuses: Iterable[Status]) -> str:
    """The statuses as constants of a statement, so that PostgreSQL can use partial indexes of them."""
    return ", ".join(f"'{status}'" for status in statuses)


def sources_of(transitions: Mapping[Status, tuple[Status, ...]], target: Status) -> tuple[Status, ...]:
    """The statuses from which a row may move to `target`."""
    return tuple(source for source, targets in transitions.items() if target in targets)
