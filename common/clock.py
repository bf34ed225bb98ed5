"""The database's time: the one clock that every process shares, so that leases and fences agree on it."""

import datetime as dt

from django.db import connection


def database_now() -> dt.datetime:
    """The database's wall clock, not the start of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        row = cursor.fetchone()
    now: dt.datetime = row[0]
    return now


def rfc3339(moment: dt.datetime | None) -> str | None:
    """`2025-01-24T08:00:00.000Z`: how the API writes a time."""
    return (
        moment.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if moment
        else None
    )
