"""Reads from a streaming replica while it is not too far behind (ADR 52).

A caller asks before each read, and names the database in the read. Without `DB_REPLICA_HOST`, and whenever the replica
is gone, behind, on another timeline than the primary or no standby any more, the answer is the primary.
"""

import datetime as dt
import time
from collections.abc import Callable
from typing import Final, TypeVar

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connections
from psycopg_pool import PoolTimeout

from common.database_errors import classify_database_error

T = TypeVar("T")
log = structlog.get_logger(__name__)

PRIMARY: Final = "default"
REPLICA: Final = "replica"
# After a failure a process reads the primary for this time.
PAUSE_SECONDS: Final = 10.0
POLL_SECONDS: Final = 0.2
UNAVAILABLE: Final = (DatabaseError, InterfaceError, PoolTimeout)

# The name of a WAL file begins with its timeline, in hexadecimal. That of the last checkpoint may be older.
_NOW: Final = """
SELECT clock_timestamp(), pg_current_wal_lsn(),
       ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer
"""
# The time of the last commit that was replayed is of the primary's clock. It stands still while the primary writes
# nothing; then the positions are equal.
#
# Positions of two timelines cannot be compared. Without `pg_read_all_stats`, and while nothing is received,
# `received_tli` is NULL: after a failover the next restartpoint then shows the new timeline some minutes later.
_REPLAYED: Final = """
SELECT pg_is_in_recovery(), pg_last_xact_replay_timestamp(), coalesce(pg_last_wal_replay_lsn() >= %s::pg_lsn, false),
       coalesce((SELECT received_tli FROM pg_stat_wal_receiver), (SELECT timeline_id FROM pg_control_checkpoint()))
"""

_paused_until = 0.0


def choose_database(*, not_before: dt.datetime | None = None, wait_seconds: float = 0.0) -> str:
    """The replica if it lags by `DB_REPLICA_MAX_LAG_SECONDS` at most and has all commits until `not_before`.

    Background work waits for it for `wait_seconds`.
    """
    give_up_at = time.monotonic() + wait_seconds
    while (database := _choose_now(not_before)) is None:
        if time.monotonic() >= give_up_at:
            return PRIMARY
        time.sleep(POLL_SECONDS)
    return database


def _choose_now(not_before: dt.datetime | None) -> str | None:
    """None: the replica is behind, or follows another timeline than the primary."""
    if not settings.DB_REPLICA_HOST or time.monotonic() < _paused_until:
        return PRIMARY
    with connections[PRIMARY].cursor() as cursor:
        cursor.execute(_NOW)
        now, written, timeline = cursor.fetchone()
    try:
        with connections[REPLICA].cursor() as cursor:
            cursor.execute(_REPLAYED, [written])
            is_standby, replayed_at, has_everything, replica_timeline = cursor.fetchone()
    except UNAVAILABLE as error:
        _pause(error)
        return PRIMARY
    if not is_standby:  # it was promoted: either it is the primary, or nobody knows what it is
        connections[REPLICA].session_is_over = True  # type: ignore[attr-defined]
        connections[REPLICA].close()
        return PRIMARY
    # On another timeline it has not followed a failover, and may hold commits that were lost in it.
    if replica_timeline != timeline:
        return None
    if has_everything:
        return REPLICA
    if replayed_at is None or (not_before is not None and replayed_at < not_before):
        return None
    # After a failover the time is of another clock, which may be ahead.
    is_near = abs((now - replayed_at).total_seconds()) <= settings.DB_REPLICA_MAX_LAG_SECONDS
    return REPLICA if is_near else None


def read_near(read: Callable[[str], T], *, not_before: dt.datetime | None = None) -> T:
    """Calls `read` with the name of the database, and once more with the primary when the replica fails.

    A replica cancels statements that hinder its replay.
    """
    database = choose_database(not_before=not_before)
    if database == PRIMARY:
        return read(PRIMARY)
    try:
        return read(database)
    except UNAVAILABLE as error:
        _pause(error)
    return read(PRIMARY)


def _pause(error: Exception) -> None:
    """Raises the error if it is a defect of ours."""
    global _paused_until
    if classify_database_error(error) is None:
        raise error
    log.warning("replica.unavailable", reason=str(error).strip())
    _paused_until = time.monotonic() + PAUSE_SECONDS
