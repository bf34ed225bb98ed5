"""Writes rows without triggers and foreign keys: thousands of copies, old rows, invalid rows."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper


@contextmanager
def without_triggers() -> Iterator[CursorWrapper]:
    """Switches triggers off for one transaction only, however it ends. A connection of the pool that kept the setting
    would run later tests without triggers, and no saga would become due. Statements have no time limit, because they
    may write thousands of rows."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("SET LOCAL statement_timeout = 0")
        yield cursor
        cursor.execute("SET LOCAL session_replication_role = origin")  # inside a test's own transaction
