"""Operations of migrations that leave a big table readable and writable while they run.

A migration with one of them has `atomic = False`. Each can be repeated after an interruption.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import structlog
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations import AddConstraint, RunPython
from django.db.models import CheckConstraint, Index, Model, UniqueConstraint

from common.postgresql.partitions import is_partitioned

log = structlog.get_logger(__name__)

BATCH = 5_000


class AddIndexOnline(AddIndexConcurrently):
    """CREATE INDEX CONCURRENTLY, which waits for older transactions and blocks none.

    A partitioned table has no such statement: the index of each partition is built concurrently, and attached.
    """

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        model = to_state.apps.get_model(app_label, self.model_name)
        with schema_editor.connection.cursor() as cursor:
            is_table_partitioned = is_partitioned(cursor, model._meta.db_table)
        if is_table_partitioned:
            _build_on_partitions(schema_editor, model, self.index)
            return
        if _index_exists(schema_editor, self.index.name):
            return
        with _without_lock_timeout(schema_editor):
            super().database_forwards(app_label, schema_editor, from_state, to_state)


class AddUniqueOnline(AddConstraint):
    """A unique constraint with a condition, which PostgreSQL keeps as a unique index of that name."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        constraint = self.constraint
        assert isinstance(constraint, UniqueConstraint)
        assert constraint.condition is not None, "without a condition it is a constraint of the table"
        model = to_state.apps.get_model(app_label, self.model_name)
        if not self.allow_migrate_model(schema_editor.connection.alias, model):
            return
        if _index_exists(schema_editor, constraint.name):
            return
        statement = str(constraint.create_sql(model, schema_editor))
        online = statement.replace("CREATE UNIQUE INDEX", "CREATE UNIQUE INDEX CONCURRENTLY", 1)
        assert online != statement
        with _without_lock_timeout(schema_editor):
            schema_editor.execute(online, params=None)


class AddCheckOnline(AddConstraint):
    """A check that holds for new rows at once; old rows are validated afterwards, without blocking writes."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        constraint = self.constraint
        assert isinstance(constraint, CheckConstraint)
        model = to_state.apps.get_model(app_label, self.model_name)
        if not self.allow_migrate_model(schema_editor.connection.alias, model):
            return
        with schema_editor.connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_constraint WHERE conname = %s", [constraint.name])
            is_there = cursor.fetchone() is not None
        if not is_there:
            schema_editor.execute(f"{constraint.create_sql(model, schema_editor)} NOT VALID", params=None)
        table, name = (schema_editor.quote_name(each) for each in (model._meta.db_table, constraint.name))
        schema_editor.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}", params=None)


class UpdateInBatches(RunPython):
    """Fills a new column of a big table, some rows in each transaction. Logs how far it is.

    `statement` updates the rows `WHERE id = ANY(%s)`. It may run twice on the same rows.
    """

    def __init__(self, table: str, statement: str) -> None:
        super().__init__(partial(_update_in_batches, table, statement), RunPython.noop)


def _update_in_batches(
    table: str, statement: str, _apps: Any, schema_editor: BaseDatabaseSchemaEditor
) -> None:
    page = f"SELECT id FROM {schema_editor.quote_name(table)} WHERE (%s::uuid IS NULL OR id > %s) ORDER BY id LIMIT %s"  # noqa: S608
    last: Any = None
    count = 0
    while True:
        with schema_editor.connection.cursor() as cursor:
            cursor.execute(page, [last, last, BATCH])
            ids = [row[0] for row in cursor.fetchall()]
            if not ids:
                return
            cursor.execute(statement, [ids])
        last, count = ids[-1], count + len(ids)
        log.info(
            "migration.rows_updated", table=table, count=count, of_about=_estimate_rows(schema_editor, table)
        )


def _estimate_rows(schema_editor: BaseDatabaseSchemaEditor, table: str) -> int:
    """What PostgreSQL's statistics say; -1 before the first ANALYZE."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(%s)", [table])
        row = cursor.fetchone()
    return int(row[0]) if row else -1


def _index_exists(schema_editor: BaseDatabaseSchemaEditor, name: str) -> bool:
    """Whether a valid index of this name exists. Drops an invalid one, which an interrupted build has left."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", [name])
        row = cursor.fetchone()
    if row is None:
        return False
    if row[0]:
        return True
    with _without_lock_timeout(schema_editor):
        schema_editor.execute(f"DROP INDEX CONCURRENTLY {schema_editor.quote_name(name)}", params=None)
    return False


def _build_on_partitions(schema_editor: BaseDatabaseSchemaEditor, model: type[Model], index: Index) -> None:
    """The table's own index is invalid until the index of the last partition is attached. New partitions get one."""
    table, quote = model._meta.db_table, schema_editor.quote_name
    statement = str(index.create_sql(model, schema_editor))
    begin = f"CREATE INDEX {quote(index.name)} ON {quote(table)}"
    assert statement.startswith(begin), statement
    rest = statement.removeprefix(begin)
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass", [table]
        )
        partitions = [name for (name,) in cursor.fetchall()]
    schema_editor.execute(
        f"CREATE INDEX IF NOT EXISTS {quote(index.name)} ON ONLY {quote(table)}{rest}", params=None
    )
    for partition in partitions:
        name = f"{index.name}{partition.removeprefix(table)}"
        if not _index_exists(schema_editor, name):
            with _without_lock_timeout(schema_editor):
                schema_editor.execute(
                    f"CREATE INDEX CONCURRENTLY {quote(name)} ON {quote(partition)}{rest}", params=None
                )
        schema_editor.execute(f"ALTER INDEX {quote(index.name)} ATTACH PARTITION {quote(name)}", params=None)


@contextmanager
def _without_lock_timeout(schema_editor: BaseDatabaseSchemaEditor) -> Iterator[None]:
    """Lets a statement wait for locks without limit: a concurrent build blocks nobody meanwhile."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('lock_timeout')")
        (before,) = cursor.fetchone()
        cursor.execute("SET lock_timeout = 0")
    try:
        yield
    finally:
        with schema_editor.connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, false)", [before])
