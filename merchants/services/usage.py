"""Writes the last use of each key, collected in Redis, to PostgreSQL once a minute."""

from django.db import connection

from merchants import throttling


def flush_key_usage() -> int:
    """Writes all collected times in one statement. Never sets a time back. Returns the number of keys."""
    usage = throttling.pop_key_usage()
    if not usage:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE api_keys SET last_used_at = GREATEST(api_keys.last_used_at, to_timestamp(used.at))
            FROM unnest(%s::uuid[], %s::float8[]) AS used (id, at)
            WHERE api_keys.id = used.id
            """,
            [list(usage.keys()), list(usage.values())],
        )
        return int(cursor.rowcount)
