"""Rows written past triggers and foreign keys: copies by the thousand, rows of long ago, rows that are wrong."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper


@contextmanager
def without_triggers() -> Iterator[CursorWrapper]:
    """For one transaction only, however it ends: a connection of the pool that had kept the setting would run later
    tests without triggers, so that for example no saga would ever become due again."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        yield cursor
        cursor.execute("SET LOCAL session_replication_role = origin")  # inside a test's own transaction
