"""Rows that many tests begin with: created once in each worker, and inserted again for each test.

A payment of the API takes 10 ms of CPU, and all rows of a fixture that creates many payments take 5 ms to insert.
"""

from django.db import connection

from tests.support import clean_database

SCHEMA = "snapshots"


class Snapshot:
    """All rows of the tests' database except those that `migrate` creates."""

    def __init__(self, name: str) -> None:
        """Copies the rows. Their times are kept relative to now."""
        self._function = f'{SCHEMA}."{name}"'
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            inserts = []
            for table in clean_database.tables_of_tests():
                if clean_database.has_rows(table):
                    copy = f'{SCHEMA}."{name} {table}"'
                    cursor.execute(f'CREATE TABLE {copy} AS TABLE public."{table}"')
                    inserts.append(_insert(cursor, table, copy))
            cursor.execute(
                f"""
                CREATE FUNCTION {self._function}() RETURNS void LANGUAGE plpgsql
                SET session_replication_role = replica AS $$
                DECLARE age CONSTANT interval := clock_timestamp() - timestamptz '{_now(cursor)}';
                BEGIN
                    {"".join(inserts)}
                END $$
                """
            )

    def restore(self) -> None:
        """Inserts the rows, past triggers and foreign keys."""
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {self._function}()")


def _insert(cursor, table: str, copy: str) -> str:  # type: ignore[no-untyped-def]
    cursor.execute(
        "SELECT column_name, data_type FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name = %s AND is_generated = 'NEVER'",
        [table],
    )
    columns = dict(cursor.fetchall())
    names = ", ".join(f'"{name}"' for name in columns)
    values = ", ".join(
        f'"{name}" + age' if kind == "timestamp with time zone" else f'"{name}"'
        for name, kind in columns.items()
    )
    insert = f'INSERT INTO public."{table}" ({names}) OVERRIDING SYSTEM VALUE SELECT {values} FROM {copy};\n'
    return insert + _advance_sequence(cursor, table)


def _advance_sequence(cursor, table: str) -> str:  # type: ignore[no-untyped-def]
    """Moves the sequence behind the restored rows, so that rows of the test come after them."""
    cursor.execute(
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name = %s AND is_identity = 'YES'",
        [table],
    )
    advance = ""
    for (column,) in cursor.fetchall():
        sequence = f"pg_get_serial_sequence('public.\"{table}\"', '{column}')"
        last = f'(SELECT max("{column}") FROM public."{table}")'
        advance += f"PERFORM setval({sequence}, greatest({last}, nextval({sequence})));\n"
    return advance


def _now(cursor) -> str:  # type: ignore[no-untyped-def]
    cursor.execute("SELECT clock_timestamp()::text")
    (now,) = cursor.fetchone()
    return str(now)
