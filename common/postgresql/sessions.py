"""Sessions of PostgreSQL itself, outside the pool and past a pooler: for session-level locks and settings."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from django.conf import settings
from django.db import connections

# The OPTIONS of the settings that libpq knows; the others are Django's.
_LIBPQ = (
    "application_name",
    "connect_timeout",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "options",
    "target_session_attrs",
    "tcp_user_timeout",
)
# With these the server ends a session whose client has vanished in 40 s. Those of the settings are for our side.
_SERVER_KEEPALIVES: Final = (
    "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"
)


def open_session(**parameters: Any) -> "psycopg.Connection[Any]":
    """A session in autocommit mode, with the settings' parameters unless others are given.

    Raises psycopg's `OperationalError`, also when no host of `DB_HOST` takes writes.
    """
    database = get_direct_settings()
    ours = {name: database["OPTIONS"][name] for name in _LIBPQ if name in database["OPTIONS"]}
    return psycopg.connect(
        **{
            "host": database["HOST"],
            "port": database["PORT"],
            "user": database["USER"],
            "password": database["PASSWORD"],
            "dbname": database["NAME"],
            **ours,
            **parameters,
        },
        autocommit=True,
    )


def open_locking_session() -> "psycopg.Connection[Any]":
    """A session for an advisory lock, which the server ends soon after the host of its client has vanished.

    Raises psycopg's `OperationalError`, as `open_session`.
    """
    options = get_direct_settings()["OPTIONS"]["options"]
    return open_session(options=f"{options} {_SERVER_KEEPALIVES}")


def get_direct_settings(alias: str = "default") -> dict[str, Any]:
    """The connection's settings, with PostgreSQL's own address where a pooler stands between."""
    ours: dict[str, Any] = connections[alias].settings_dict
    return {**ours, **settings.DIRECT_DATABASE} if settings.DB_TRANSACTION_POOLING else ours


@contextmanager
def connect_directly(alias: str) -> Iterator[None]:
    """Inside, this thread's connection is a session of PostgreSQL itself. Without a pooler it is one in any case."""
    if not settings.DB_TRANSACTION_POOLING:
        yield
        return
    wrapper = connections[alias]
    wrapper.close()
    pooled = wrapper.settings_dict
    wrapper.settings_dict = get_direct_settings(alias)
    try:
        yield
    finally:
        wrapper.close()
        wrapper.settings_dict = pooled
