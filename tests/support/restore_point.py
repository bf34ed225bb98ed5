"""Restores the platform's tables to an earlier moment, as a point-in-time recovery does. The simulator's tables stay,
because a restore of ours does not change the bank's records."""

from django.db import connection, transaction
from django_redis import get_redis_connection

from tests.support.clean_database import has_rows, tables_of_tests


class RestorePoint:
    """All rows of the platform at this moment."""

    def __init__(self) -> None:
        self._rows = {table: _read(table) for table in _tables() if has_rows(table)}

    def restore(self, *, with_redis: bool = False) -> None:
        """Past triggers and foreign keys. The answers in Redis are lost too, unless they stay (`with_redis`)."""
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            for table in _tables():
                cursor.execute(f'DELETE FROM "{table}"')
            for table, rows in self._rows.items():
                with cursor.copy(f'COPY "{table}" ({_columns(table)}) FROM STDIN') as copy:
                    copy.write(rows)
        if not with_redis:
            redis = get_redis_connection("default")
            for name in redis.scan_iter("payment-gateway:idempotency:*"):
                redis.delete(name)


def _tables() -> list[str]:
    return [table for table in tables_of_tests() if not table.startswith("simulator_")]


def _read(table: str) -> bytes:
    with connection.cursor() as cursor:
        query = f'COPY (SELECT {_columns(table)} FROM "{table}") TO STDOUT'
        with cursor.copy(query) as copy:
            return b"".join(bytes(part) for part in copy)


def _columns(table: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position)"
            " FROM information_schema.columns"
            " WHERE table_schema = 'public' AND table_name = %s AND is_generated = 'NEVER'",
            [table],
        )
        (names,) = cursor.fetchone()
    return str(names)
