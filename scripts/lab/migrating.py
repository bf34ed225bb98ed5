"""A migration that a failover interrupts: it is run again, and the schema must be as if nothing had happened."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psycopg

from scripts.lab import database, lifecycle
from scripts.lab.engines import DATABASE, Passwords
from scripts.lab.plan import Folders
from scripts.local.errors import StackError
from scripts.local.waiting import wait_until

# A database of its own on the same servers: its migrations begin with the first one.
NAME = "lab_migrated"
BEGUN_MIGRATIONS = 20
BEGIN_SECONDS, TRIES = 240.0, 5

# Partitions are made by time, so only their parents are compared.
_SCHEMA = """
    SELECT format('%s.%s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
                  pg_get_expr(d.adbin, d.adrelid))
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
    UNION ALL
    SELECT pg_get_indexdef(i.indexrelid) || CASE WHEN i.indisvalid THEN '' ELSE ' INVALID' END
    FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
    WHERE c.relnamespace = 'public'::regnamespace AND NOT c.relispartition
    UNION ALL
    SELECT format('%s %s %s', c.relname, pg_get_constraintdef(k.oid), k.convalidated)
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
    WHERE c.relnamespace = 'public'::regnamespace AND NOT c.relispartition
    UNION ALL
    SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE c.relnamespace = 'public'::regnamespace AND NOT c.relispartition AND NOT t.tgisinternal
    UNION ALL
    SELECT format('%s %s', app, name) FROM django_migrations
"""


class Migration:
    def __init__(self, folders: Folders, passwords: Passwords) -> None:
        self._folders, self._passwords = folders, passwords
        self._thread = ThreadPoolExecutor(1)
        self._first: Future[int] | None = None

    def begin(self) -> None:
        """Returns when it is in the middle."""
        with database.connect(self._passwords, superuser=True) as session:
            session.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
            database.create_database(session, NAME)
        self._first = self._thread.submit(self._migrate)
        if not wait_until(lambda: self._count_applied() >= BEGUN_MIGRATIONS, BEGIN_SECONDS):
            raise StackError(f"{self._count_applied()} migrations are applied after {BEGIN_SECONDS:.0f} s")

    def finish(self) -> list[str]:
        """Runs it again until it succeeds. Returns what is wrong with the result."""
        assert self._first is not None
        if self._first.result() == 0:
            return ["the first migration was over before the fault came"]
        self._thread.shutdown()
        for _try in range(TRIES):
            if self._migrate() == 0:
                return self._compare()
            time.sleep(1.0)
        return [f"the migration fails after the failover, {TRIES} times"]

    def _migrate(self) -> int:
        settings = {"DB_NAME": NAME}
        return lifecycle.manage(
            self._folders, "migrate", "--no-input", check=False, settings=settings
        ).returncode

    def _count_applied(self) -> int:
        try:
            with database.connect(self._passwords, superuser=True, name=NAME) as session:
                row = session.execute("SELECT count(*) FROM django_migrations").fetchone()
        except psycopg.Error:  # the table does not exist yet
            return 0
        return int(row[0]) if row else 0

    def _compare(self) -> list[str]:
        found, expected = self._read_schema(NAME), self._read_schema(DATABASE)
        missing = [f"missing after the failover: {each}" for each in sorted(expected - found)]
        return missing + [f"only after the failover: {each}" for each in sorted(found - expected)]

    def _read_schema(self, name: str) -> set[str]:
        with database.connect(self._passwords, superuser=True, name=name) as session:
            rows: list[Any] = session.execute(_SCHEMA).fetchall()
        return {str(row[0]) for row in rows}
