"""One merchant's long history in every list of the API: copies of one row of each table, a second apart."""

from typing import Final

from django.db import connection, transaction

# In every list the oldest rows are the rare ones, which a newest-first scan would find last.
RARE: Final = 3
_AT: Final = "now() - make_interval(secs => %(count)s - n)"
_ID: Final = f"uuidv7({_AT} - clock_timestamp())"
_FIRST_EVENT: Final = 1_000_000_000
_PAYMENT: Final = "(SELECT id FROM payments WHERE payment_no = 'PAY-LONG-' || n)"
_CHANGED: Final[dict[str, dict[str, str]]] = {
    "orders": {
        "id": _ID,
        "order_no": "'LONG-' || n",
        "status": f"CASE WHEN n <= {RARE} THEN 'cancelled' WHEN n %% 10 = 0 THEN 'pending' ELSE 'paid' END",
    },
    "payments": {
        "id": _ID,
        "payment_no": "'PAY-LONG-' || n",
        "order_no": "'LONG-' || n",
        "order_id": "gen_random_uuid()",
        "channel_trade_no": "'trade-' || n",
        # All of one channel and of one status there are many, and of both together none.
        "channel": f"CASE WHEN n <= {RARE} THEN 'rare' WHEN n %% 2 = 0 THEN 'even' ELSE 'odd' END",
        "status": f"CASE WHEN n <= {RARE} THEN 'authorized' WHEN n %% 10 = 0 THEN 'failed' ELSE 'succeeded' END",
    },
    "refunds": {
        "id": _ID,
        "refund_no": "'REF-LONG-' || n",
        "payment_id": _PAYMENT,
        "channel_refund_no": "'refund-' || n",
        "status": f"CASE WHEN n <= {RARE} THEN 'failed' ELSE 'succeeded' END",
    },
    "disputes": {
        "id": _ID,
        "dispute_no": "'DSP-LONG-' || n",
        "payment_id": _PAYMENT,
        "channel_dispute_no": "'dispute-' || n",
        "status": f"CASE WHEN n <= {RARE} THEN 'lost' ELSE 'won' END",
    },
    "ledger_transfers": {
        "id": _ID,
        "source": "'PAY-LONG-' || n",
        "subject_id": "gen_random_uuid()",
        "event": f"CASE WHEN n <= {RARE} THEN 'dispute.withdrawn' ELSE 'payment.captured' END",
    },
    "merchant_statements": {
        "id": _ID,
        "period": f"CASE WHEN n <= {RARE} THEN 'month' ELSE 'day' END",
        "first_day": "date '2100-01-01' + n::int",
        "last_day": f"date '2100-01-01' + n::int + CASE WHEN n <= {RARE} THEN 30 ELSE 0 END",
    },
    "outbox_events": {
        "id": f"{_FIRST_EVENT} + n",
        "event_id": _ID,
        "ordering_key": "'PAY-LONG-' || n",
        "type": f"CASE WHEN n <= {RARE} THEN 'payment.expired' ELSE 'payment.succeeded' END",
        "published_at": "now()",
        "fanned_out_at": "now()",
    },
    "webhook_deliveries": {
        "id": _ID,
        "event_id": f"{_FIRST_EVENT} + n",
        "status": f"CASE WHEN n <= {RARE} THEN 'cancelled' ELSE 'delivered' END",
        "due_at": "NULL",
    },
}


def fill(count: int) -> None:
    """Adds `count` rows to each list of the merchant who has a row in it, and refreshes the statistics."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SET LOCAL session_replication_role = replica"
        )  # the rows alone, without what belongs to them
        cursor.execute("SET LOCAL statement_timeout = 0")
        for table, changed in _CHANGED.items():
            cursor.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_name = %s AND is_generated = 'NEVER'",
                [table],
            )
            columns = [name for (name,) in cursor.fetchall()]
            values = {"created_at": _AT, **changed}
            cursor.execute(
                f"INSERT INTO {table} ({', '.join(columns)}) "
                f"SELECT {', '.join(values.get(name, f'one.{name}') for name in columns)} "
                f"FROM (SELECT * FROM {table} ORDER BY created_at LIMIT 1) AS one, generate_series(1, %(count)s) AS n",
                {"count": count},
            )
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {', '.join(_CHANGED)}")
