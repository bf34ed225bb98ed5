"""`migrate` while payments run: it never waits long for a lock, because other transactions queue behind it.

Afterwards it makes the partitions of the coming weeks, so that they exist before the first payment.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.commands import migrate
from django.db import DEFAULT_DB_ALIAS, OperationalError, connections
from psycopg.errors import LockNotAvailable

from common.postgresql.sessions import connect_directly
from monitoring.partitions import make_partitions_ahead

# How long a statement waits for an exclusive lock; all later transactions on the table wait as long.
LOCK_SECONDS = 2
# Retries last longer than the longest transactions (15 s for a statement).
PAUSE_SECONDS = 3
TRIES = 40

_TIMEOUTS = {
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "lock_timeout": f"{LOCK_SECONDS}s",
}


class Command(migrate.Command):
    """Django's command with other timeouts. Each retry continues where the last one stopped."""

    def handle(self, *args: Any, **options: Any) -> None:
        with connect_directly(options["database"]), _set_timeouts(options["database"]):
            for retries_left in reversed(range(TRIES)):
                try:
                    super().handle(*args, **options)
                    break
                except OperationalError as error:
                    if not (isinstance(error.__cause__, LockNotAvailable) and retries_left):
                        raise
                    self.stdout.write(f"\n  a lock was not free within {LOCK_SECONDS} s: retrying")
                    time.sleep(PAUSE_SECONDS)
            if not options["plan"] and options["database"] == DEFAULT_DB_ALIAS:
                make_partitions_ahead()


@contextmanager
def _set_timeouts(alias: str) -> Iterator[None]:
    connection = connections[alias]
    with connection.cursor() as cursor:
        for name, value in _TIMEOUTS.items():
            cursor.execute("SELECT set_config(%s, %s, false)", [name, value])
    try:
        yield
    finally:
        if connection.connection is not None and not connection.connection.closed:
            with connection.cursor() as cursor:
                for name in _TIMEOUTS:
                    cursor.execute(f"RESET {name}")
