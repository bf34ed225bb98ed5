"""Reads both sides in batches. A temporary file keeps the names that the channel has listed."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from typing import TypeVar

from django.db.models import Model, QuerySet

from gateway.services.reconciliation.our_rows import get_listed_name

BATCH = 500

M = TypeVar("M", bound=Model)
T = TypeVar("T")


def split_into_batches(entries: Iterator[T]) -> Iterator[list[T]]:
    while batch := list(islice(entries, BATCH)):
        yield batch


class ListedNames:
    """The names that the channel has listed, in a file of SQLite: the list may not fit in memory. A temporary table of
    PostgreSQL would need one session from the first call of the channel to the last one."""

    def __init__(self, file: sqlite3.Connection) -> None:
        self._file = file
        file.execute("CREATE TABLE listed (name TEXT PRIMARY KEY) WITHOUT ROWID")

    def add(self, names: Iterable[str]) -> None:
        self._file.executemany("INSERT OR IGNORE INTO listed VALUES (?)", ((name,) for name in names))

    def find_unlisted(self, rows: QuerySet[M]) -> Iterator[M]:
        """Those of our rows that the channel has not listed, oldest first."""
        after = None
        while True:
            remaining = rows.filter(pk__gt=after) if after is not None else rows
            batch = list(remaining.order_by("pk")[:BATCH])
            if not batch:
                return
            yield from (row for row in batch if not self._contains(get_listed_name(row)))
            after = batch[-1].pk

    def _contains(self, name: str) -> bool:
        return self._file.execute("SELECT 1 FROM listed WHERE name = ?", [name]).fetchone() is not None


@contextmanager
def open_listed_names() -> Iterator[ListedNames]:
    with closing(sqlite3.connect("")) as file:  # a file without a name, which ends with the connection
        yield ListedNames(file)
