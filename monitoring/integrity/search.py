"""Runs integrity checks on a database cursor, Django's or psycopg's.

The checks know the tables and nothing else: no model, no engine, no flow, so that a mistake in those cannot hide here.
"""

import datetime as dt
from collections.abc import Container, Mapping, Sequence
from typing import Any, Protocol

from monitoring.integrity.check import IntegrityCheck, Violation
from monitoring.integrity.registry import CHECKS
from monitoring.retention import SAGA_RETENTION

# The platform learns within seconds what happens at a channel: by webhook, and by a query after a minute.
GRACE = dt.timedelta(minutes=5)
# Treats everything as long past its deadline: nothing may be unfinished. For tests.
SETTLED = dt.timedelta(days=-1000)
# No sandbox is used: its books are not compared.
NO_BOOKS: Mapping[str, str | None] = {"wechat": None, "alipay": None}


class Cursor(Protocol):
    @property
    def description(self) -> Sequence[Any] | None: ...

    def execute(self, query: str, parameters: Mapping[str, Any], /) -> Any: ...

    def fetchall(self) -> Sequence[Any]: ...


def find_all_violations(
    cursor: Cursor,
    *,
    since: dt.datetime | None = None,
    grace: dt.timedelta = GRACE,
    skip: Container[str] = (),
    books: Mapping[str, str | None] = NO_BOOKS,
) -> list[Violation]:
    """The violations of every check but those named in `skip`. With `grace=SETTLED`, unfinished work is one too.
    `books` are those of the sandboxes (`monitoring.sandbox_books`)."""
    return [
        violation
        for check in CHECKS
        if check.name not in skip
        for violation in find_violations(cursor, check, since=since, grace=grace, books=books)[0]
    ]


def find_violations(
    cursor: Cursor,
    check: IntegrityCheck,
    *,
    since: dt.datetime | None = None,
    grace: dt.timedelta = GRACE,
    limit: int | None = None,
    books: Mapping[str, str | None] = NO_BOOKS,
) -> tuple[list[Violation], int]:
    """At most `limit` violations, and how many there are: one statement, so that both agree."""
    cursor.execute(
        f"SELECT count(*) OVER (), violations.* FROM ({check.sql}) AS violations"  # noqa: S608 - constants of ours
        " ORDER BY 2, violations LIMIT %(limit)s",
        {
            "since": since or "-infinity",
            "grace": grace.total_seconds(),
            "saga_retention": SAGA_RETENTION.total_seconds(),
            "limit": limit,
            **{f"{channel}_books": text for channel, text in books.items()},
        },
    )
    rows = cursor.fetchall()
    return [Violation(check.name, *row[1:]) for row in rows], rows[0][0] if rows else 0
