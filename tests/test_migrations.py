"""Migrations run while payments are made: none reads or writes a big table under a lock that blocks payments, and each
can be reversed."""

import inspect
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.apps import apps
from django.contrib.postgres.operations import AddIndexConcurrently
from django.core.management import call_command
from django.db import connection, connections
from django.db.migrations import Migration, operations
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.models import NOT_PROVIDED, GeneratedField, Index
from django_migration_linter import MigrationLinter
from django_migration_linter.sql_analyser.analyser import analyse_sql_statements, get_sql_analyser_class

from common.postgresql.operations import AddCheckOnline, AddIndexOnline, AddUniqueOnline
from common.postgresql.partitions import list_partitions
from common.postgresql.sessions import open_session
from sagas.partitions import STEPS
from scripts.local.config import ROOT
from tests.support.threads import wait_until, waiting_for_locks

# Every app of this project that has tables, except the simulator, whose migrations run on a connection of its own.
OURS = sorted(
    config.label
    for config in apps.get_app_configs()
    if "site-packages" not in config.path
    and (Path(config.path) / "migrations").exists()
    and config.label != "simulator"
)
# Tables that stay small, so that a migration reads or writes all of their rows in a moment.
SMALL = {
    "merchant",
    "apikey",
    "routingrule",
    "webhookendpoint",
    "export",
    "reportschedule",
    "reportrun",
    "staffprofile",
    "approval",
    "progress",
}
ONLINE = (AddIndexConcurrently, AddUniqueOnline, AddCheckOnline)
# Matches a statement that updates rows, but not a definition of a function or trigger.
_FUNCTION = re.compile(r"\$\$.*?\$\$", re.DOTALL)
_UPDATE = re.compile(r"(?:^|;)\s*(?:UPDATE|DELETE)\b(?! FROM dashboard_progress)", re.IGNORECASE)
ADVICE = (
    "see common/postgresql/operations.py: AddIndexOnline, AddUniqueOnline, AddCheckOnline, UpdateInBatches"
)


def _migrations() -> Iterator[tuple[str, Migration]]:
    for (app, name), migration in sorted(
        MigrationLoader(None, ignore_no_migrations=True).disk_migrations.items()
    ):
        if app in OURS:
            yield name, migration


def _describe_problem(operation: Operation) -> str | None:
    """Returns the effect of the operation that would block payments on a table with rows; None if there is none."""
    match operation:
        case _ if isinstance(operation, ONLINE):
            return None
        case operations.AddIndex():
            return "builds an index while nobody can write"
        case operations.AddConstraint():
            return "reads the table while nobody can use it"
        case operations.AddField(field=GeneratedField()):
            return "rewrites the table while nobody can use it"
        case operations.AddField(field=field) if not field.many_to_many:
            if not field.null and field.db_default is NOT_PROVIDED:
                return "writes a default into every row: give db_default"
            if field.unique or (field.db_index and not field.remote_field):  # type: ignore[attr-defined]
                return "builds an index while nobody can write"
        case operations.RunSQL(sql=str() as sql) if _UPDATE.search(_FUNCTION.sub("", sql)):
            return "updates in one transaction"
    return None


def test_no_migration_blocks_payments() -> None:
    problems = []
    for name, migration in _migrations():
        fresh = {each.name_lower for each in migration.operations if isinstance(each, operations.CreateModel)}
        for operation in migration.operations:
            model = getattr(operation, "model_name_lower", "")
            if model in fresh | SMALL:
                continue
            if problem := _describe_problem(operation):
                problems.append(f"{migration.app_label} {name}: {operation.describe()}: {problem}")
    assert not problems, f"{ADVICE}\n" + "\n".join(problems)


def test_online_operations_are_alone_in_their_migration() -> None:
    """Such a migration is not one transaction: after a failure it runs again from the start, and each of its parts can
    be repeated."""
    for name, migration in _migrations():
        online = [each for each in migration.operations if isinstance(each, ONLINE)]
        if online:
            assert migration.atomic is False, name
            others = set(migration.operations) - set(online)
            assert all(isinstance(each, operations.RunPython) for each in others), (name, others)


# Nothing is released yet: the first two migrations of an app are edited until then.
LAST_EDITED = 2


@pytest.mark.django_db
def test_no_later_migration_breaks_the_running_release() -> None:
    """During a rollout, the old release runs on the tables of the new one."""
    linter = MigrationLinter(str(ROOT), no_cache=True)
    for migration in MigrationLoader(None, ignore_no_migrations=True).disk_migrations.values():
        path = Path(inspect.getfile(type(migration)))
        is_ours = path.is_relative_to(ROOT) and "site-packages" not in path.parts
        if is_ours and int(migration.name[:4]) > LAST_EDITED:
            linter.lint_migration(migration)
    assert linter.nb_erroneous == 0, "see the output, and docs/DEPLOYMENT.md"


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("ALTER TABLE payments DROP COLUMN subject", "DROP_COLUMN"),
        ("ALTER TABLE payments RENAME COLUMN subject TO title", "RENAME_COLUMN"),
        ("ALTER TABLE payments ADD COLUMN title text NOT NULL", "NOT_NULL"),
        ("DROP TABLE payments", "DROP_TABLE"),
    ],
)
def test_the_linter_knows_what_breaks_a_running_release(sql: str, code: str) -> None:
    errors, _ignored, _warnings = analyse_sql_statements(get_sql_analyser_class("postgresql"), [sql])
    assert [error.code for error in errors] == [code]


@pytest.fixture
def empty(transactional_db: None) -> Iterator[None]:
    """The test database, which is migrated again afterwards."""
    yield
    call_command("migrate", interactive=False, verbosity=0)


@pytest.mark.django_db(transaction=True)
def test_every_migration_can_be_reversed(empty: None) -> None:
    """All migrations are reversed and applied again, and the schema is the same at the end."""
    before = _schema()
    MigrationExecutor(connection).migrate([(app, None) for app in OURS])
    left = {name.split(".")[0] for name in _schema()}
    assert (
        left & {model._meta.db_table for model in apps.get_models() if model._meta.app_label in OURS} == set()
    )
    call_command("migrate", interactive=False, verbosity=0)
    assert _schema() == before


@pytest.mark.django_db(transaction=True)
def test_migrate_gives_way_to_a_payment_that_holds_the_table(empty: None) -> None:
    """Statements that queue behind the migration wait no longer than its lock timeout. Then they run, although the
    payment still holds its lock."""
    reads, done = [], threading.Event()
    holder = open_session()
    holder.autocommit = False
    holder.execute("SET SESSION idle_in_transaction_session_timeout = 0")
    holder.execute("LOCK TABLE refunds IN ROW EXCLUSIVE MODE")

    def read() -> None:
        with open_session() as session:
            while not done.wait(0.01):
                session.execute("SELECT count(*) FROM refunds")
                reads.append(True)

    def migrate() -> None:
        try:
            call_command("migrate", "gateway", "0001", interactive=False, verbosity=0)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=read), threading.Thread(target=migrate)]
    for thread in threads:
        thread.start()
    try:
        # Both wait: the migration for the table, and a read behind it.
        wait_until(lambda: waiting_for_locks() == 2, seconds=60)
        before = len(reads)
        wait_until(lambda: len(reads) > before, seconds=60)
    finally:
        holder.rollback()
        holder.close()
        threads[1].join()
        done.set()
        threads[0].join()


@pytest.mark.django_db(transaction=True)
def test_an_index_of_a_partitioned_table_is_built_online() -> None:
    """The operation runs twice, as after an interruption."""
    operation = AddIndexOnline("sagastep", Index(fields=["executed_at"], name="saga_step_test"))
    before = MigrationLoader(connection).project_state()
    after = before.clone()
    operation.state_forwards("sagas", after)
    try:
        for _run in range(2):
            with connection.schema_editor(atomic=False) as editor:
                operation.database_forwards("sagas", editor, before, after)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT bool_and(indisvalid), count(*) FROM pg_index"
                " WHERE indexrelid = ANY (SELECT relid FROM pg_partition_tree('saga_step_test'))"
            )
            assert cursor.fetchone() == (True, len(list_partitions(STEPS)) + 2), (
                "the indexes of the table, of its weeks and of the default partition"
            )
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP INDEX saga_step_test")


def _schema() -> dict[str, Any]:
    """Returns columns, constraints, indexes and triggers, by the names of their tables."""
    with psycopg.connect(**_parameters()) as session:
        found = session.execute(
            """
            SELECT table_name || '.' || column_name, data_type || is_nullable || coalesce(column_default, '')
            FROM information_schema.columns WHERE table_schema = 'public'
            UNION ALL
            SELECT conrelid::regclass || '.' || conname, pg_get_constraintdef(oid) FROM pg_constraint
            WHERE connamespace = 'public'::regnamespace AND conrelid <> 0
            UNION ALL
            SELECT tablename || '.' || indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
            UNION ALL
            SELECT tgrelid::regclass || '.' || tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
            """
        ).fetchall()
    return dict(found)


def _parameters() -> dict[str, Any]:
    database = connection.settings_dict
    return {
        "host": database["HOST"],
        "port": database["PORT"],
        "user": database["USER"],
        "password": database["PASSWORD"],
        "dbname": database["NAME"],
    }
