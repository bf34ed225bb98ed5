"""How tables are stored: their storage parameters, and which updates write no index."""

import pytest
from django.db import connection

pytestmark = pytest.mark.django_db

GROWING = ["autovacuum_vacuum_scale_factor=0.02", "autovacuum_analyze_scale_factor=0.02"]
PARAMETERS = {
    "payments": GROWING,
    "orders": GROWING,
    "refunds": GROWING,
    "saga_instances": GROWING,
    "outbox_events": GROWING,
    "webhook_deliveries": GROWING,
    "channel_events": GROWING[:1],
    "payment_attempts": ["fillfactor=80", *GROWING[:1]],
    "idempotency_keys": ["fillfactor=70", *GROWING[:1]],
    "order_items": ["autovacuum_vacuum_insert_scale_factor=0.05"],
}
# Columns that every payment updates. A HOT update writes the row and no index; it needs free space on the row's page,
# and no index may name one of the columns.
UPDATED = {
    "saga_steps": {"status", "in_doubt", "result", "execute_data", "executed_at", "updated_at"},
    "idempotency_keys": {"state", "response_status", "response_body", "lease_expires_at", "completed_at"},
    "payment_attempts": {"status", "channel_trade_no", "finished_at"},
}


@pytest.mark.parametrize("table", PARAMETERS)
def test_migrations_set_the_storage_parameters(table: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT reloptions FROM pg_class WHERE oid = %s::regclass", [table])
        assert set(cursor.fetchone()[0]) == set(PARAMETERS[table])


@pytest.mark.parametrize("table", UPDATED)
def test_updates_of_every_payment_can_be_hot(table: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT a.attname, i.indexrelid::regclass::text FROM pg_depend d
            JOIN pg_index i ON i.indexrelid = d.objid AND d.classid = 'pg_class'::regclass
            JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
            WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = %s::regclass AND i.indrelid = d.refobjid
            """,
            [table],
        )
        indexed = cursor.fetchall()
    assert indexed, "the query must find keys and conditions of all indexes"
    assert not [each for each in indexed if each[0] in UPDATED[table]]
