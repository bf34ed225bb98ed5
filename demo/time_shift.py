"""Moves all times of one payment into the past.

The real services make the demo history within a minute, and it has to look like a month. All times of a payment are
moved together, so that their order, their intervals and every integrity check hold as before. The tables that hold
rows of a payment are listed below; the database tells which of their columns are times. Times inside JSON (an event's
data, a stored answer) and the day in a payment's number stay. `demo/ledger_dates.py` moves the days of the ledger.

Some tables are append-only, so that their triggers are disabled for these statements. That needs a superuser, and is
done for demo data only.
"""

import datetime as dt
import functools
from collections.abc import Mapping

from django.conf import settings
from django.db import connection, transaction

from demo import ledger_dates

_PAYMENT = "(SELECT id FROM payments WHERE payment_no = %(no)s::text)"
_REFUNDS = f"(SELECT id FROM refunds WHERE payment_id = {_PAYMENT})"  # noqa: S608 - of constants
_NUMBERS = f"(SELECT %(no)s::text UNION ALL SELECT refund_no FROM refunds WHERE payment_id = {_PAYMENT})"  # noqa: S608
_SAGAS = f"(SELECT id FROM saga_instances WHERE business_id IN {_NUMBERS})"  # noqa: S608
_EVENTS = "(SELECT id FROM outbox_events WHERE ordering_key = %(no)s::text)"

ROWS_OF_PAYMENT: Mapping[str, str] = {
    "orders": "id = (SELECT order_id FROM payments WHERE payment_no = %(no)s::text)",
    "payments": "payment_no = %(no)s::text",
    "payment_attempts": f"payment_id = {_PAYMENT}",
    "payment_reviews": f"payment_id = {_PAYMENT}",
    "captures": f"payment_id = {_PAYMENT}",
    "authorization_increments": f"payment_id = {_PAYMENT}",
    "disputes": f"payment_id = {_PAYMENT}",
    "refunds": f"payment_id = {_PAYMENT}",
    "saga_steps": f"saga_id IN {_SAGAS}",
    "saga_events": f"saga_id IN {_SAGAS}",
    "saga_instances": f"business_id IN {_NUMBERS}",
    "idempotency_keys": f"resource_id IN {_SAGAS}",
    "channel_events": f"reference IN {_NUMBERS}",
    "outbox_events": "ordering_key = %(no)s::text",
    "webhook_deliveries": f"event_id IN {_EVENTS}",
    "webhook_attempts": f"delivery_id IN (SELECT id FROM webhook_deliveries WHERE event_id IN {_EVENTS})",  # noqa: S608
    "simulator_payments": "reference = %(no)s::text",
    "simulator_refunds": "payment_id = %(no)s::text",
    "simulator_disputes": "payment_id = %(no)s::text",
    "simulator_ledger": "reference = %(no)s::text",
    "simulator_notifications": "reference = %(no)s::text",
}


def move_into_past(*, payment_no: str, by: dt.timedelta) -> None:
    assert settings.PAYMENT_DEMO, "only demo data may be moved in time"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(_build_statement(), {"no": payment_no, "by": str(by)})
        ledger_dates.move_into_past(cursor, payment_no=payment_no, by=by)


@functools.cache
def _build_statement() -> str:
    """One statement for all tables, because each condition must see the other tables unchanged."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT c.relname, array_agg(quote_ident(a.attname))
            FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
            WHERE c.oid = ANY (SELECT to_regclass(name) FROM unnest(%s::text[]) AS name)
              AND a.atttypid = 'timestamptz'::regtype AND a.attnum > 0 AND NOT a.attisdropped
              AND a.attgenerated = ''
            GROUP BY c.relname
            """,
            [list(ROWS_OF_PAYMENT)],
        )
        tables = cursor.fetchall()
    updates = []
    for table, columns in tables:
        changes = ", ".join(f"{column} = {column} - %(by)s::text::interval" for column in columns)
        updates.append(f'moved_{table} AS (UPDATE "{table}" SET {changes} WHERE {ROWS_OF_PAYMENT[table]})')  # noqa: S608
    return f"WITH {', '.join(updates)} SELECT 1"
