"""Reads the allowed transitions from the database and from the documents, to compare them with the code."""

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import permutations
from pathlib import Path
from typing import Any

from django.db import IntegrityError, models, transaction

from common.db import violates

Pairs = set[tuple[str, str]]
# A row of the table "Allowed transitions": object, status, statuses that may follow it, condition.
_ROW = re.compile(r"^\| (?P<object>[a-z ]+) \| `(?P<source>\w+)` \| (?P<targets>[^|]*) \|", re.MULTILINE)


def pairs_of(transitions: Mapping[Any, Iterable[Any]]) -> Pairs:
    return {(str(source), str(target)) for source, targets in transitions.items() for target in targets}


def pairs_in_documents(about: str) -> Pairs:
    """The pairs that docs/ARCHITECTURE.md lists for this object, such as "order"."""
    text = (
        Path("docs/ARCHITECTURE.md").read_text().split("### Allowed transitions", 1)[1].split("\n## ", 1)[0]
    )
    rows = [row for row in _ROW.finditer(text) if row["object"] == about]
    assert rows, f"no transitions of {about!r} are documented"
    return {(row["source"], target) for row in rows for target in re.findall(r"`(\w+)`", row["targets"])}


def pairs_the_database_accepts(
    statuses: Iterable[str],
    insert: Callable[[str], models.Model],
    *,
    refused_by: str,
    changes: Callable[[str, str], Mapping[str, Any]] = lambda _source, _target: {},
) -> Pairs:
    """Tries every pair of different statuses on a row of its own, which is rolled back.

    `insert` writes a row that has the given status. `refused_by` is the constraint that the trigger names when it
    refuses; any other error is raised. `changes` are further columns that an UPDATE from the first status to the
    second needs. Run it inside a test's transaction.
    """
    accepted: Pairs = set()
    for source, target in permutations(map(str, statuses), 2):
        if _is_accepted(insert, source, target, changes(source, target), refused_by):
            accepted.add((source, target))
    return accepted


def _is_accepted(
    insert: Callable[[str], models.Model],
    source: str,
    target: str,
    changes: Mapping[str, Any],
    refused_by: str,
) -> bool:
    class _RollBack(Exception):
        pass

    try:
        with transaction.atomic():
            row = insert(source)
            type(row)._default_manager.filter(pk=row.pk).update(status=target, **changes)
            raise _RollBack
    except _RollBack:
        return True
    except IntegrityError as error:
        if violates(error, refused_by):
            return False
        raise
