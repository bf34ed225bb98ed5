"""The database's clock, which all processes share, so that leases agree."""

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
    """Formats a time as the API does: `2025-01-24T08:00:00.000Z`."""
    return (
        moment.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if moment
        else None
    )
