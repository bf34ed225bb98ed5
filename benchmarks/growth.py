"""What a request costs beside many payments: buffers of its statements, CPU, and bytes of each payment on disk.

One payment is made through the API, paid by a webhook and delivered to its merchant. `benchmarks/copies.py` multiplies
its rows by COPY, so each loaded payment is consistent. All of them belong to one merchant, the worst case for many
indexes. Buffers and bytes are counts, which other load on the machine does not change.
"""

import shutil
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, connections, transaction

from benchmarks.copies import FIRST_EVENT_ID, PaymentCopies
from benchmarks.figures import Benchmark, Effort, Figure
from benchmarks.prepared import (
    PreparedRequest,
    create_key,
    create_paid_payment,
    create_payment,
    prepare_payment,
    prepare_webhook,
    send,
)
from benchmarks.processes import find_postgresql, read_cpu_of_family
from common.postgresql.partitions import drop_partition, list_partitions
from common.postgresql.sessions import open_session
from merchants.services import NewKey
from monitoring.pruning import BATCH
from sagas.partitions import PARTITIONED_TABLES as SAGA_TABLES
from webhooks import claims, fanout
from webhooks.models import Lane

BENCHMARK = Benchmark(
    "growth",
    "Buffers, CPU and bytes for one payment beside 10³, 10⁵ and 10⁶ payments, and what retention costs.",
    "The depth of the indexes: a tenfold of rows adds a level to some of them.",
)
SIZES = (1_000, 100_000, 1_000_000)
# The newest payments that still have their sagas, events and keys; of older ones retention leaves four rows.
WITH_HISTORY = 100_000
REQUESTS = 100
EXPLAINED = 5  # requests whose statements are explained
SAGAS_DELETED = 5_000
# On disk, with indexes: of a payment with all rows, and of what retention leaves. Measured beside 10⁶ payments (22,000
# and 4,100), and a tenth more.
BYTES_WITH_HISTORY, BYTES_KEPT = 24_000, 4_500
BYTES_OF_LOG = (
    3_000_000_000  # write-ahead log, of which PostgreSQL keeps max_wal_size and what it writes meanwhile
)


def measure(effort: Effort) -> list[Figure]:
    key = create_key()
    copies = PaymentCopies(_make_payment(key), with_history=effort.choose(WITH_HISTORY, 40))
    figures: list[Figure] = []
    first: dict[str, Figure] = {}
    sizes = _choose_sizes(effort)
    _require_disk(sizes[-1], with_history=effort.choose(WITH_HISTORY, 40))
    for size in sizes:
        connections.close_all()
        copies.load_until(size)
        found = measure_at(f"{size:,} payments", key, effort)
        for figure in found:
            kind = figure.name.split(": ", 1)[1]
            figures.append(_compare(figure, first.setdefault(kind, figure)))
    return [*figures, *_compare_retention()]


def _choose_sizes(effort: Effort) -> list[int]:
    sizes = (20, 60) if effort.quick else SIZES
    if not effort.payments:
        return list(sizes)
    return [*(size for size in sizes if size < effort.payments), effort.payments]


def _require_disk(size: int, *, with_history: int) -> None:
    """Prints what the load needs, and ends the benchmark before it where the disk has less."""
    recent = min(size, with_history)
    needed = recent * BYTES_WITH_HISTORY + (size - recent) * BYTES_KEPT + BYTES_OF_LOG
    with open_session(options=None) as session:
        (folder,) = session.execute("SHOW data_directory").fetchone() or ("",)
    free = shutil.disk_usage(folder).free
    print(
        f"   {size:,} payments need about {needed / 1e9:.1f} GB in {folder}; {free / 1e9:.1f} GB are free",
        flush=True,
    )
    if needed > free:
        raise SystemExit(f"not enough space for {size:,} payments: {needed / 1e9:.1f} GB in {folder}")


def measure_at(size: str, key: NewKey, effort: Effort) -> list[Figure]:
    """Measures beside the payments that the database holds."""
    repeated = uuid.uuid4().hex
    send(prepare_payment(key, idempotency_key=repeated))
    kinds: dict[str, Callable[[], PreparedRequest]] = {
        "POST /payments": lambda: prepare_payment(key),
        "replay": lambda: prepare_payment(key, idempotency_key=repeated),
        "webhook of a channel": lambda: prepare_webhook(create_payment(key)),
    }
    figures = []
    for name, prepare in kinds.items():
        cpu = min(_measure_cpu(prepare, effort.choose(REQUESTS, 3)) for _round in range(effort.rounds))
        seen = _count_buffers(prepare)
        figures += [
            Figure(
                name=f"{size}: {name}, statements (the simulator's included)",
                value=seen["statements"] / EXPLAINED,
                unit="",
            ),
            Figure(name=f"{size}: {name}, buffers", value=(seen["hit"] + seen["read"]) / EXPLAINED, unit=""),
            Figure(name=f"{size}: {name}, buffers read", value=seen["read"] / EXPLAINED, unit=""),
            Figure(name=f"{size}: {name}, CPU of Python and PostgreSQL", value=cpu, unit="ms"),
        ]
    return [*figures, *_measure_bytes(size)]


def _compare(figure: Figure, first: Figure) -> Figure:
    if figure is first or not first.value:
        return figure
    return Figure(
        name=figure.name,
        value=figure.value,
        unit=figure.unit,
        ratio=figure.value / first.value,
        ratio_to=first.name,
    )


def _make_payment(key: NewKey) -> str:
    """A payment that was paid, published and delivered to its merchant. Returns its number."""
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER SEQUENCE outbox_events_id_seq RESTART {FIRST_EVENT_ID}")
    payment_no = create_paid_payment(key)["payment_no"]
    fanout.fan_out_batch()
    while claims.claim_deliveries(lane=Lane.FAST, places=4):
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE webhook_attempts SET outcome = 'success', status_code = 200, duration_ms = 12,"
                ' response_headers = \'{"content-type": "application/json"}\', response_body = \'{"received": true}\''
            )
            cursor.execute(
                "UPDATE webhook_deliveries SET status = 'delivered', due_at = NULL, lease_expires_at = NULL,"
                " delivered_at = clock_timestamp(), last_outcome = 'success' WHERE lease_expires_at IS NOT NULL"
            )
    with connection.cursor() as cursor:
        cursor.execute("UPDATE outbox_events SET published_at = clock_timestamp()")
    return str(payment_no)


def _measure_cpu(prepare: Callable[[], PreparedRequest], count: int) -> float:
    """Milliseconds of this process and of PostgreSQL for one request."""
    requests = [prepare() for _ in range(count)]
    server = find_postgresql()
    before = time.process_time() + read_cpu_of_family(server)
    for request in requests:
        send(request)
    return (time.process_time() + read_cpu_of_family(server) - before) / count * 1000


def _count_buffers(prepare: Callable[[], PreparedRequest]) -> Counter[str]:
    total: Counter[str] = Counter()
    for _each in range(EXPLAINED):
        request = prepare()
        with _explained() as seen:
            send(request)
        total.update(seen)
    return total


@contextmanager
def _explained() -> Iterator[Counter[str]]:
    """Explains each statement, with its effects, in a savepoint that is rolled back, before it is executed."""
    seen: Counter[str] = Counter()

    def explain(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.split(maxsplit=1)[0].upper() in ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH"):
            seen["statements"] += 1
            _add_buffers(context["connection"], sql, params, seen)
        return execute(sql, params, many, context)

    wrapped = [connections[alias] for alias in connections]
    for each in wrapped:
        each.execute_wrappers.append(explain)
    try:
        yield seen
    finally:
        for each in wrapped:
            each.execute_wrappers.remove(explain)


def _add_buffers(database: Any, sql: str, params: Any, seen: Counter[str]) -> None:
    with transaction.atomic(using=database.alias):
        with database.wrap_database_errors, database.connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {sql}", params)
            plan = cursor.fetchone()[0][0]["Plan"]
        transaction.set_rollback(True, using=database.alias)
    seen["hit"] += plan["Shared Hit Blocks"]
    seen["read"] += plan["Shared Read Blocks"]


def _measure_bytes(size: str) -> list[Figure]:
    with open_session(options=None) as session:
        rows, indexes, payments = session.execute(
            "SELECT sum(pg_table_size(oid)), sum(pg_indexes_size(oid)), (SELECT count(*) FROM payments) FROM pg_class"
            " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        ).fetchone() or (0, 0, 1)
    return [
        Figure(name=f"{size}: rows of a payment", value=float(rows / payments), unit="bytes"),
        Figure(name=f"{size}: index entries of a payment", value=float(indexes / payments), unit="bytes"),
    ]


def _compare_retention() -> list[Figure]:
    """The steps and the history of the oldest week: some of them deleted row by row, then all of them dropped."""
    figures = []
    for table in SAGA_TABLES:
        week = list_partitions(table)[0]
        with open_session(options=None) as session:
            found = session.execute(f"SELECT DISTINCT {table.key} FROM {week.name} LIMIT {SAGAS_DELETED}")
            ids = [saga_id for (saga_id,) in found.fetchall()]
            with session.transaction(force_rollback=True):
                position, began = read_wal_position(session), time.monotonic()
                for first in range(0, len(ids), BATCH):
                    session.execute(
                        f"DELETE FROM {table.name} WHERE {table.key} = ANY(%s)",
                        [ids[first : first + BATCH]],
                    )
                written, seconds = read_wal_position(session) - position, time.monotonic() - began
        began = time.monotonic()
        drop_partition(table, week, kept=[])
        each = max(len(ids), 1)
        figures += [
            Figure(name=f"{table.name} of a saga deleted", value=seconds / each * 1e6, unit="µs"),
            Figure(name=f"{table.name} of a saga deleted, WAL", value=written / each, unit="bytes"),
            Figure(
                name=f"{table.name} of a week dropped", value=(time.monotonic() - began) * 1000, unit="ms"
            ),
        ]
    return figures


def read_wal_position(session: Any) -> float:
    """In bytes."""
    return float(session.execute("SELECT pg_current_wal_insert_lsn() - '0/0'").fetchone()[0])
