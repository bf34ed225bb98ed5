"""Runs the operations of online migrations against many payments, beside a reader and writer of the same table.

make bench ARGS="--only migrate"
"""

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.figures import Benchmark, Effort, Figure, merge_rounds

BENCHMARK = Benchmark(
    "migrate",
    "The operations of online migrations against 400,000 payments, beside a reader and writer of the same table.",
    "Locks: each operation waits for one for a moment only, and writes in batches.",
)
PAUSE_SECONDS = 0.02
# The values of columns without a default, by type; `_row` says what differs from row to row.
PLAIN = {
    "uuid": str(uuid.UUID(int=1)),
    "jsonb": "{}",
    "boolean": False,
    "bigint": 0,
    "integer": 0,
    "smallint": 0,
    "timestamp with time zone": "2026-01-24T08:00:00Z",
    "character varying": "",
    "text": "",
}
SPECIAL = {"currency": "USD", "environment": "test", "status": "pending", "channel": "simulator"}


def measure(effort: Effort) -> list[Figure]:
    _load(effort.choose(400_000, 2000))
    return [figure for operation in _operations() for figure in _measure_operation(operation, effort)]


def _measure_operation(operation: Any, effort: Effort) -> list[Figure]:
    rounds = []
    for _round in range(effort.rounds):
        _undo()
        rounds.append(_run(operation))
    return merge_rounds(rounds)


def _undo() -> None:
    """What an earlier round has made, so that each round finds the same table."""
    from common.postgresql.sessions import open_session

    with open_session(options=None) as session:
        session.execute("DROP INDEX IF EXISTS benchmark_index")
        session.execute("ALTER TABLE payments DROP CONSTRAINT IF EXISTS benchmark_amount_positive")
        session.execute("VACUUM ANALYZE payments")


def _load(count: int) -> None:
    """By COPY, without triggers and references: only the table of payments is looked at."""
    from common.postgresql.sessions import open_session

    with open_session(options=None) as session:
        session.execute("SET session_replication_role = replica")
        columns = session.execute(
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'payments'"
            " AND is_nullable = 'NO' AND column_default IS NULL AND is_identity = 'NO' AND is_generated = 'NEVER'"
        ).fetchall()
        names = ", ".join(name for name, _type in columns)
        with session.cursor() as cursor, cursor.copy(f"COPY payments ({names}) FROM STDIN") as copy:
            for number in range(1, count + 1):
                copy.write_row(_row(columns, number))
        session.execute("VACUUM ANALYZE payments")


def _row(columns: list[Any], number: int) -> list[Any]:
    own = {
        "id": str(uuid.UUID(int=number)),
        "order_id": str(uuid.UUID(int=number)),
        "payment_no": f"N-{number}",
        "order_no": f"N-{number}",
        "amount_minor": number % 100_000 + 1,
    }
    return [own.get(name, SPECIAL.get(name, PLAIN[kind])) for name, kind in columns]


def _operations() -> list[Any]:
    from django.db.models import CheckConstraint, Index, Q

    from common.postgresql.operations import AddCheckOnline, AddIndexOnline, UpdateInBatches

    return [
        AddIndexOnline("payment", Index(fields=["amount_minor", "order_no"], name="benchmark_index")),
        AddCheckOnline(
            "payment", CheckConstraint(condition=Q(amount_minor__gt=0), name="benchmark_amount_positive")
        ),
        UpdateInBatches("payments", "UPDATE payments SET attention_reason = 'seen' WHERE id = ANY(%s)"),
    ]


def _run(operation: Any) -> list[Figure]:
    """As `manage.py migrate` does it: not atomic, with the timeouts of that command."""
    from django.db import connection
    from django.db.migrations.loader import MigrationLoader

    before = MigrationLoader(connection).project_state()
    after = before.clone()
    operation.state_forwards("gateway", after)
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("SET lock_timeout = '2s'")
    began = time.monotonic()
    with _probe() as waits, connection.schema_editor(atomic=False) as editor:
        operation.database_forwards("gateway", editor, before, after)
    took = time.monotonic() - began
    name = type(operation).__name__
    return [
        Figure(name=name, value=took, unit="s"),
        Figure(name=f"slowest read and write beside {name}", value=max(waits) * 1000, unit="ms"),
    ]


@contextmanager
def _probe() -> Iterator[list[float]]:
    """Reads and writes payments until the block ends; the waits are in seconds."""
    waits: list[float] = []
    done = threading.Event()
    thread = threading.Thread(target=_read_and_write, args=(waits, done))
    thread.start()
    try:
        yield waits
    finally:
        done.set()
        thread.join()


def _read_and_write(waits: list[float], done: threading.Event) -> None:
    from common.postgresql.sessions import open_session

    with open_session(options=None) as session:
        number = 0
        while not done.is_set() or not waits:
            number += 1
            began = time.monotonic()
            session.execute("SELECT status FROM payments WHERE payment_no = %s", [f"N-{number}"])
            session.execute("UPDATE payments SET updated_at = now() WHERE payment_no = %s", [f"N-{number}"])
            waits.append(time.monotonic() - began)
            done.wait(PAUSE_SECONDS)
