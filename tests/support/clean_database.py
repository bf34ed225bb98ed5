"""Returns the test database to its migrated state after a test that commits.

Django's way is to truncate every table and to send `post_migrate`, whose receivers read and write every content type,
permission and role: 0.15 s of CPU, more than most tests take. Here one SQL function deletes what the test wrote and
restores the rows that `migrate` leaves (content types, permissions, roles) where the test changed them.
"""

from django.contrib.contenttypes.models import ContentType
from django.db import connection

SCHEMA = "migrated_rows"  # a copy of each table that is not empty after `migrate`, and the function
NOT_OF_TESTS = "django_migrations"
# A table that PostgreSQL counted with more rows than this is truncated: statistics and dead rows would slow down, and
# change the plans of, the tests that follow.
MANY_ROWS = 500


def install() -> None:
    """Call once, when the database is migrated and holds nothing else."""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        cursor.execute(f"CREATE SCHEMA {SCHEMA}")
        tables = _all_tables()
        filled = [table for table in tables if has_rows(table)]
        for table in filled:
            cursor.execute(f'CREATE TABLE {SCHEMA}."{table}" AS TABLE public."{table}"')
            cursor.execute(f'ANALYZE {SCHEMA}."{table}"')
        cursor.execute(_function(empty=[table for table in tables if table not in filled], filled=filled))


def restore() -> None:
    """Undoes everything that was committed since `install`. Fails for a test that leaves its connection without
    triggers (`tests.support.triggers`), because later tests would fail for no visible reason."""
    with connection.cursor() as cursor:
        # A slow machine needs longer for it than a statement of the platform may take. A test would fail, and Django
        # would leave the databases closed to all later tests of this process.
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(f"SELECT current_setting('session_replication_role'), {SCHEMA}.restore()")
        (role, _nothing) = cursor.fetchone()
        cursor.execute("RESET statement_timeout")
        if role != "origin":
            cursor.execute("RESET session_replication_role")
    ContentType.objects.clear_cache()  # of a content type that a test made
    assert role == "origin", f"session_replication_role was left at {role}"


def tables_of_tests() -> list[str]:
    """The tables that are empty after `migrate`."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace", [SCHEMA])
        filled = {name for (name,) in cursor.fetchall()}
    return [table for table in _all_tables() if table not in filled]


def _all_tables() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
            " AND NOT relispartition AND relname <> %s ORDER BY relname",
            [NOT_OF_TESTS],
        )
        return [name for (name,) in cursor.fetchall()]


def has_rows(table: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT EXISTS (SELECT FROM public."{table}")')
        (found,) = cursor.fetchone()
    return bool(found)


def _function(*, empty: list[str], filled: list[str]) -> str:
    """`session_replication_role` switches off foreign keys and the triggers of append-only tables."""
    deletes = "\n".join(f'DELETE FROM public."{table}";' for table in empty)
    restores = "\n".join(
        f"""
        DELETE FROM public."{table}" AS present
            WHERE NOT EXISTS (SELECT FROM {SCHEMA}."{table}" AS migrated WHERE migrated = present);
        INSERT INTO public."{table}" (TABLE {SCHEMA}."{table}" EXCEPT TABLE public."{table}");
        """
        for table in filled
    )
    names = ", ".join(f'public."{table}"' for table in empty)
    literals = ", ".join(f"'{table}'" for table in empty)
    return f"""
        CREATE FUNCTION {SCHEMA}.restore() RETURNS void LANGUAGE plpgsql
        SET session_replication_role = replica AS $$
        BEGIN
            IF EXISTS (
                SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname IN ({literals})
                AND reltuples > {MANY_ROWS}
            ) THEN
                TRUNCATE {names};
            ELSE
                {deletes}
            END IF;
            {restores}
        END $$
    """
