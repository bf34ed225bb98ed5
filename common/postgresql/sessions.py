"""Sessions outside the pool: for session-level locks, and for the checks at start."""

from typing import Any

import psycopg
from django.db import connection

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


def open_session(**parameters: Any) -> "psycopg.Connection[Any]":
    """A session in autocommit mode, with the settings' parameters unless others are given.

    Raises psycopg's `OperationalError`, also when no host of `DB_HOST` takes writes.
    """
    database = connection.settings_dict
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
