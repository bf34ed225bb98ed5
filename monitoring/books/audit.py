"""The auditor: compares the tables of the platform with each other and with the simulator's books.

An independent program. It knows the tables and nothing else: no model, no engine, no flow, so that a mistake in those
cannot hide here. Anything that runs SQL will do, Django's cursor or psycopg's.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from monitoring.books import effects, history, money
from monitoring.books.rule import Finding, Rule

RULES: tuple[Rule, ...] = (*history.RULES, *effects.RULES, *money.RULES)
GRACE = dt.timedelta(minutes=5)
# As if everything had been left alone for years: every deadline has passed, and nothing is still on its way.
SETTLED = dt.timedelta(days=-1000)


class Cursor(Protocol):
    def execute(self, query: str, parameters: Mapping[str, Any], /) -> Any: ...

    def fetchall(self) -> Sequence[Any]: ...


def audit(
    cursor: Cursor, *, since: dt.datetime | None = None, grace: dt.timedelta = GRACE
) -> tuple[Finding, ...]:
    """Everything that is wrong, rule by rule. With `grace=SETTLED`, nothing may be unfinished either."""
    return tuple(finding for rule in RULES for finding in look(cursor, rule, since=since, grace=grace))


def look(
    cursor: Cursor, rule: Rule, *, since: dt.datetime | None = None, grace: dt.timedelta = GRACE
) -> list[Finding]:
    given = {"since": since or "-infinity", "grace": grace.total_seconds()}
    cursor.execute(f"SELECT id, what FROM ({rule.sql}) AS offenders ORDER BY id, what", given)  # noqa: S608
    return [Finding(rule.name, offender, what) for offender, what in cursor.fetchall()]
