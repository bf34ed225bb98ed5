"""Operations of migrations for what Django's models do not say about a table: partitions and storage parameters."""

from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation

from common.postgresql.partitions import is_partitioned

# Constraints and indexes that a new table already has. Foreign keys and indexes that Django defers to the end of the
# migration are created on the partitioned table.
_CONSTRAINTS = """
SELECT conname, contype::text, pg_get_constraintdef(oid) FROM pg_constraint
WHERE conrelid = %s::regclass AND contype IN ('p', 'u', 'c', 'f') ORDER BY contype, conname
"""
_INDEXES = """
SELECT pg_get_indexdef(indexrelid) FROM pg_index
WHERE indrelid = %s::regclass AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
"""


class SetStorageParameters(Operation):
    """Sets storage parameters of a table (`fillfactor`, `autovacuum_…`). Its lock stops no reader or writer.

    Partitions get theirs from `PartitionedTable.storage`.
    """

    reversible = True

    def __init__(self, table: str, **parameters: float) -> None:
        self.table = table
        self.parameters = parameters

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Nothing changes for Django."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        given = ", ".join(f"{name} = {value}" for name, value in self.parameters.items())
        schema_editor.execute(f"ALTER TABLE {self.table} SET ({given})")

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        schema_editor.execute(f"ALTER TABLE {self.table} RESET ({', '.join(self.parameters)})")

    def describe(self) -> str:
        return f"Set storage parameters of {self.table}"


class PartitionByWeek(Operation):
    """Replaces an empty table by a partitioned one with a default partition.

    The primary key becomes (id, key), because a unique constraint of a partitioned table contains the partition key.
    For Django `id` stays the primary key. The weeks are made by `make_partitions`.
    """

    reversible = True

    def __init__(self, table: str, key: str) -> None:
        self.table = table
        self.key = key

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Nothing changes for Django."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        if schema_editor.collect_sql:  # sqlmigrate prints statements without a database that has the table
            schema_editor.execute(f"-- {self.describe()}")
            return
        table, key, plain = self.table, self.key, f"{self.table}_plain"
        with schema_editor.connection.cursor() as cursor:
            if is_partitioned(cursor, table):
                return
            cursor.execute(f"SELECT EXISTS (SELECT FROM {table})")  # noqa: S608 - a name in a migration
            assert not cursor.fetchone()[0], f"{table} has rows"
            cursor.execute(_CONSTRAINTS, [table])
            constraints = cursor.fetchall()
            cursor.execute(_INDEXES, [table])
            indexes = [row[0] for row in cursor.fetchall()]
            cursor.execute("SELECT pg_get_serial_sequence(%s, 'id')", [table])
            sequence = cursor.fetchone()[0]
            cursor.execute(f"ALTER TABLE {table} RENAME TO {plain}")
            if sequence:
                cursor.execute(f"ALTER SEQUENCE {sequence} RENAME TO {plain}_id_seq")
            cursor.execute(
                f"CREATE TABLE {table} (LIKE {plain} INCLUDING DEFAULTS INCLUDING IDENTITY) PARTITION BY RANGE ({key})"
            )
            cursor.execute(f"DROP TABLE {plain}")
            for name, kind, definition in constraints:
                wanted = f"PRIMARY KEY (id, {key})" if kind == "p" else definition
                cursor.execute(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {wanted}')
            for definition in indexes:
                cursor.execute(definition)
            cursor.execute(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        """The table stays partitioned: the migration before it drops it."""

    def describe(self) -> str:
        return f"Partition {self.table} by week"
