"""Tables partitioned by week (ADR 40): retention drops a partition instead of deleting its rows.

The partition key is an id made by `common.ids.uuid7`, so ids order by time and the bounds of a week are ids too. A row
whose week has no partition goes to the default partition: no insert ever fails because of a missing one.
"""

import datetime as dt
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog
from django.db import DatabaseError, OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper
from psycopg import sql
from psycopg.errors import CheckViolation, DeadlockDetected, LockNotAvailable, QueryCanceled

log = structlog.get_logger(__name__)

PERIOD = dt.timedelta(days=7)
PERIODS_AHEAD = 4
_MONDAY = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
# Other transactions queue behind a statement that waits for an exclusive lock, so it gives up soon. The next run of the
# task tries again.
LOCK_TIMEOUT = "500ms"
# `lock_timeout` does not bound the scan of the default partition, which stops all others too.
STATEMENT_TIMEOUT = "2s"
_NOT_NOW = (LockNotAvailable, QueryCanceled, DeadlockDetected)

_LIST = """
SELECT c.relname, pg_get_expr(c.relpartbound, c.oid)
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = to_regclass(%s) AND pg_get_expr(c.relpartbound, c.oid) <> 'DEFAULT'
"""
_BOUNDS = re.compile(r"FROM \('([0-9a-f-]{36})'\) TO \('([0-9a-f-]{36})'\)")


@dataclass(frozen=True, slots=True)
class PartitionedTable:
    """`key` is the column with the id of the row in `parent` that the table's rows belong to."""

    name: str
    key: str
    parent: str
    storage: Mapping[str, str] = field(default_factory=dict)  # storage parameters of each partition


@dataclass(frozen=True, slots=True)
class Partition:
    name: str
    start: dt.datetime
    end: dt.datetime

    @property
    def first_id(self) -> uuid.UUID:
        return first_id_at(self.start)

    @property
    def end_id(self) -> uuid.UUID:
        """The first id that is not in the partition."""
        return first_id_at(self.end)


def first_id_at(at: dt.datetime) -> uuid.UUID:
    """The smallest id that `uuid7` could make at this time."""
    return uuid.UUID(int=int(at.timestamp() * 1000) << 80)


def find_period(at: dt.datetime) -> dt.datetime:
    """Returns the Monday, 0:00 UTC, on which the week of this time began."""
    return _MONDAY + (at - _MONDAY) // PERIOD * PERIOD


def is_partitioned(cursor: CursorWrapper, table: str) -> bool:
    """False also while the table does not exist, because its migration was reversed."""
    cursor.execute("SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass(%s)", [table])
    return bool(cursor.fetchone() == (True,))


def list_partitions(table: PartitionedTable) -> Sequence[Partition]:
    """Returns the partitions of weeks, oldest first, without the default partition."""
    with connection.cursor() as cursor:
        cursor.execute(_LIST, [table.name])
        found = cursor.fetchall()
    partitions = []
    for name, bounds in found:
        match = _BOUNDS.search(bounds)
        assert match is not None, f"{name} is not a partition of a week: {bounds}"
        partitions.append(Partition(name, _time_of(match[1]), _time_of(match[2])))
    return sorted(partitions, key=lambda each: each.start)


def make_partitions(table: PartitionedTable, *, first: dt.datetime, last: dt.datetime) -> int:
    """Makes the missing partitions of all weeks from that of `first` to that of `last`. Returns their number.

    A week is left out while its lock is not free in time, while the scan of the default partition takes too long, or
    while its rows are in the default partition.
    """
    starts = {partition.start for partition in list_partitions(table)}
    made = 0
    start = find_period(first)
    while start <= last:
        if start not in starts:
            made += _make_partition(table, Partition(_build_name(table, start), start, start + PERIOD))
        start += PERIOD
    return made


def _make_partition(table: PartitionedTable, partition: Partition) -> bool:
    options = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.SQL(value))
        for name, value in table.storage.items()
    )
    statement = sql.SQL(
        "CREATE TABLE IF NOT EXISTS {} PARTITION OF {} FOR VALUES FROM ({}) TO ({}){}"
    ).format(
        sql.Identifier(partition.name),
        sql.Identifier(table.name),
        str(partition.first_id),
        str(partition.end_id),
        sql.SQL(" WITH ({})").format(options) if table.storage else sql.SQL(""),
    )
    try:
        with _exclusive() as cursor:
            # The statement locks both tables, the parent last and in this mode. Writers lock the parent first.
            for table_name, mode in [(table.parent, "SHARE ROW EXCLUSIVE"), (table.name, "ACCESS EXCLUSIVE")]:
                lock = sql.SQL("LOCK TABLE ONLY {} IN {} MODE")
                cursor.execute(lock.format(sql.Identifier(table_name), sql.SQL(mode)).as_string())
            cursor.execute(statement.as_string())
    except DatabaseError as error:
        if not isinstance(error.__cause__, (*_NOT_NOW, CheckViolation)):
            raise
        log.warning("partition.not_made", partition=partition.name, reason=str(error))
        return False
    return True


def drop_partition(table: PartitionedTable, partition: Partition, *, kept: Sequence[uuid.UUID]) -> bool:
    """Drops the partition. Rows whose key is in `kept` move to the default partition, in the same transaction.

    Returns False when a lock was not free in time: nothing has changed then. The parent is not locked, except for the
    foreign keys of the moved rows, so a writer that holds the parent and waits for the table forms no lock cycle.
    """
    try:
        with _exclusive() as cursor:
            for statement in (
                "LOCK TABLE ONLY {table} IN ACCESS EXCLUSIVE MODE",
                "CREATE TEMPORARY TABLE kept_rows ON COMMIT DROP AS"
                " SELECT * FROM {partition} WHERE {key} = ANY({kept})",
                "DROP TABLE {partition}",
                "INSERT INTO {table} SELECT * FROM kept_rows",
                "SET CONSTRAINTS ALL IMMEDIATE",  # its waits are bounded like the others
            ):
                composed = sql.SQL(statement).format(
                    table=sql.Identifier(table.name),
                    partition=sql.Identifier(partition.name),
                    key=sql.Identifier(table.key),
                    kept=list(kept),
                )
                cursor.execute(composed.as_string())
    except OperationalError as error:
        if not isinstance(error.__cause__, _NOT_NOW):
            raise
        log.warning("partition.not_dropped", partition=partition.name, reason=str(error))
        return False
    log.info("partition.dropped", partition=partition.name, kept=len(kept))
    return True


@contextmanager
def _exclusive() -> Iterator[CursorWrapper]:
    """A transaction that takes exclusive locks, and neither waits for them nor holds them for long."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('lock_timeout', %s, true), set_config('statement_timeout', %s, true)",
            [LOCK_TIMEOUT, STATEMENT_TIMEOUT],
        )
        yield cursor


def _build_name(table: PartitionedTable, start: dt.datetime) -> str:
    return f"{table.name}_{start:%Y%m%d}"


def _time_of(identifier: str) -> dt.datetime:
    return dt.datetime.fromtimestamp((uuid.UUID(identifier).int >> 80) / 1000, dt.UTC)
