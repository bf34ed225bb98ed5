"""Work that one process at a time does, on whatever host, such as a periodic task that may be sent twice.

Celery gives a task that takes longer than the broker's visibility timeout to a second thread, while the first still
works on it. A lock in PostgreSQL lets the second one return at once. The lock ends with its session: when the process
dies, at once; when its host vanishes, after half a minute.
"""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg

from common.postgresql.sessions import open_locking_session

# The first half of the key of each of these locks; the second is the hash of the name.
LOCK_CLASS: Final = 4010
_LOCK: Final = "SELECT pg_try_advisory_lock(%s, hashtext(%s))"


@contextmanager
def try_exclusive(name: str) -> Iterator[bool]:
    """Yields whether the caller is the only one that works under this name. The lock ends with the block.

    It has a session outside the pool, so that neither transactions of the block nor the pool end it.
    """
    with open_locking_session() as session:
        row = session.execute(_LOCK, [LOCK_CLASS, name]).fetchone()
        try:
            yield bool(row and row[0])
        finally:
            # The server notices the end of a session a moment later, and until then the lock is taken.
            with contextlib.suppress(psycopg.OperationalError):  # the session is over already
                session.execute("SELECT pg_advisory_unlock_all()")
