"""A backfill updates every row once, in transactions of a bounded number of rows, and says how far it is."""

import uuid

import pytest
from django.db import connection
from django.db.migrations.state import ProjectState

from common.postgresql import operations
from common.postgresql.operations import UpdateInBatches

pytestmark = pytest.mark.django_db


def test_every_row_is_updated_and_the_progress_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(operations, "BATCH", 3)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE backfilled (id uuid PRIMARY KEY, writes int NOT NULL DEFAULT 0)")
        cursor.executemany("INSERT INTO backfilled (id) VALUES (%s)", [(uuid.uuid4(),) for _ in range(7)])
        operation = UpdateInBatches(
            "backfilled", "UPDATE backfilled SET writes = writes + 1 WHERE id = ANY(%s)"
        )
        with connection.schema_editor(collect_sql=False, atomic=False) as editor:
            operation.database_forwards("common", editor, ProjectState(), ProjectState())
        cursor.execute("SELECT writes, count(*) FROM backfilled GROUP BY 1")
        assert cursor.fetchall() == [(1, 7)]
    entries = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    counts = [each["count"] for each in entries if each.get("event") == "migration.rows_updated"]
    assert counts == [3, 6, 7]
