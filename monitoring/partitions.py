"""Makes the partitions of coming weeks, and drops those whose retention has passed (ADR 40)."""

import datetime as dt
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from django.db import connection

from common.clock import database_now
from common.postgresql.partitions import (
    PERIOD,
    PERIODS_AHEAD,
    Partition,
    PartitionedTable,
    drop_partition,
    is_partitioned,
    list_partitions,
    make_partitions,
)
from monitoring.retention import EVENT_RETENTION, SAGA_RETENTION, is_deletable_delivery, is_deletable_saga
from sagas.models import SagaInstance
from sagas.partitions import PARTITIONED_TABLES as SAGA_TABLES
from webhooks.models import WebhookDelivery
from webhooks.partitions import PARTITIONED_TABLES as WEBHOOK_TABLES

PARTITIONED_TABLES = (*SAGA_TABLES, *WEBHOOK_TABLES)
log = structlog.get_logger(__name__)

# The clocks that make ids may be an hour off.
CLOCK_TOLERANCE = dt.timedelta(hours=1)
# Rows of so many sagas or deliveries are moved while the table is locked: a moment. With more, the week waits.
MAX_KEPT = 1_000


@dataclass(frozen=True, slots=True)
class _History:
    """Tables whose rows belong to rows of one parent table, and which parents must keep theirs after the retention."""

    tables: Sequence[PartitionedTable]
    retention: dt.timedelta
    list_kept: Callable[[Partition], Sequence[uuid.UUID]]


def make_partitions_ahead() -> int:
    """Makes the missing partitions of this week and the coming ones. Returns their number.

    A lock that is not free delays them until the next run. That harms nothing for weeks, and afterwards rows go to the
    default partition.
    """
    now = database_now()
    last = now + PERIOD * PERIODS_AHEAD
    with connection.cursor() as cursor:
        tables = [table for table in PARTITIONED_TABLES if is_partitioned(cursor, table.name)]
    return sum(make_partitions(table, first=now, last=last) for table in tables)


def drop_expired_partitions() -> int:
    """Drops the partitions of all weeks that ended before the retention. Returns their number."""
    now = database_now()
    return sum(_drop_expired(history, now - history.retention - CLOCK_TOLERANCE) for history in _HISTORIES)


def find_drop_delay(table: PartitionedTable) -> dt.timedelta:
    """The time for which a partition is kept after its week."""
    (history,) = (each for each in _HISTORIES if table in each.tables)
    return history.retention + CLOCK_TOLERANCE


def find_saga_limit() -> dt.datetime:
    """Sagas that were created before then may be deleted row by row: their partitions are gone."""
    return _find_limit(SAGA_TABLES, SAGA_RETENTION)


def find_delivery_limit() -> dt.datetime:
    """Deliveries that were created before then may be deleted row by row: their partition is gone."""
    return _find_limit(WEBHOOK_TABLES, EVENT_RETENTION)


def _find_limit(tables: Sequence[PartitionedTable], retention: dt.timedelta) -> dt.datetime:
    starts = [partition.start for table in tables for partition in list_partitions(table)]
    return min([database_now() - retention, *starts])


def _drop_expired(history: _History, before: dt.datetime) -> int:
    """The tables have an order: no steps are left whose history is gone. So the first failure ends this run."""
    dropped = 0
    for table in history.tables:
        for partition in list_partitions(table):
            if partition.end > before:
                break
            if not _drop(table, partition, history.list_kept(partition)):
                return dropped
            dropped += 1
    return dropped


def _drop(table: PartitionedTable, partition: Partition, kept: Sequence[uuid.UUID]) -> bool:
    if len(kept) > MAX_KEPT:
        reason = f"over {MAX_KEPT} sagas or deliveries must keep their rows"
        log.error("partition.kept", partition=partition.name, reason=reason)
        return False
    return drop_partition(table, partition, kept=kept)


def _list_kept_sagas(partition: Partition) -> Sequence[uuid.UUID]:
    of_week = SagaInstance.objects.filter(id__gte=partition.first_id, id__lt=partition.end_id)
    return list(of_week.filter(~is_deletable_saga()).values_list("id", flat=True)[: MAX_KEPT + 1])


def _list_kept_deliveries(partition: Partition) -> Sequence[uuid.UUID]:
    of_week = WebhookDelivery.objects.filter(id__gte=partition.first_id, id__lt=partition.end_id)
    return list(of_week.filter(~is_deletable_delivery()).values_list("id", flat=True)[: MAX_KEPT + 1])


_HISTORIES = (
    _History(SAGA_TABLES, SAGA_RETENTION, _list_kept_sagas),
    _History(WEBHOOK_TABLES, EVENT_RETENTION, _list_kept_deliveries),
)
