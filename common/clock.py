"""Time as the database tells it: the one clock that every process shares (design section 1, rule 6)."""

import datetime as dt

from django.db import connection


def database_now() -> dt.datetime:
    """The database's wall clock, not the start of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        row = cursor.fetchone()
    now: dt.datetime = row[0]
    return now
