"""Calls to other systems take seconds. Meanwhile they hold no database connection."""

from django.db import connections


def release_connections() -> None:
    """Gives this thread's database connections back to the pool. The next statement takes one again.

    Called before every call to another system. No transaction may be open across a call.
    """
    for connection in connections.all(initialized_only=True):
        assert not connection.in_atomic_block, "no transaction may be open across a call to another system"
        connection.close()
