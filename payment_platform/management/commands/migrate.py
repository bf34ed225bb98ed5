"""`migrate` beside running payments: it never waits long for a lock, because everybody would wait behind it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.commands import migrate
from django.db import OperationalError, connections
from psycopg.errors import LockNotAvailable

# What wants a table for itself waits so long for the transactions before it, and all others behind it.
LOCK_SECONDS = 2
# After it gave way, and as often as it takes for the longest transactions (15 s of a statement) to end.
PAUSE_SECONDS = 3
TRIES = 40

_PATIENCE = {
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "lock_timeout": f"{LOCK_SECONDS}s",
}


class Command(migrate.Command):
    """Django's own, with timeouts of its own. What was applied stays applied: each try goes on where one stopped."""

    def handle(self, *args: Any, **options: Any) -> None:
        with _own_timeouts(options["database"]):
            for left in reversed(range(TRIES)):
                try:
                    super().handle(*args, **options)
                    return
                except OperationalError as error:
                    if not (isinstance(error.__cause__, LockNotAvailable) and left):
                        raise
                    self.stdout.write(f"\n  a lock was not free within {LOCK_SECONDS} s: trying again")
                    time.sleep(PAUSE_SECONDS)


@contextmanager
def _own_timeouts(alias: str) -> Iterator[None]:
    connection = connections[alias]
    with connection.cursor() as cursor:
        for name, value in _PATIENCE.items():
            cursor.execute("SELECT set_config(%s, %s, false)", [name, value])
    try:
        yield
    finally:
        if connection.connection is not None and not connection.connection.closed:
            with connection.cursor() as cursor:
                for name in _PATIENCE:
                    cursor.execute(f"RESET {name}")
