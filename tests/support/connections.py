"""Finds the database connections that this thread holds."""

from django.db import connections


def require_no_connection() -> None:
    """Fails when this thread holds a connection of the platform's pool, and so also when a transaction is open. The
    simulator's connection does not count: it is the bank's."""
    assert connections["default"].connection is None, "a connection is held during a call to another system"
