"""Distinguishes a database that cannot serve now from a defect of ours, by SQLSTATE.

Codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

import enum

import psycopg
from django.db import InterfaceError, OperationalError
from psycopg_pool import PoolTimeout


class DatabaseErrorKind(enum.Enum):
    """The reason why the database could not serve."""

    SESSION_LOST = enum.auto()  # it ended our session, does not answer, or no connection became free in time
    READ_ONLY = enum.auto()  # a failover: the server is a standby now, or was isolated
    CONFLICT = enum.auto()  # a deadlock or a serialization failure: the same transaction will go through
    TIMEOUT = enum.auto()  # a statement or a lock took longer than it may
    EXHAUSTED = enum.auto()  # disk, memory or sessions of the server

    @property
    def retry_after(self) -> str:
        """Seconds after which a repetition makes sense, for the header `Retry-After`."""
        return str(_RETRY_AFTER_SECONDS[self])

    @property
    def ends_session(self) -> bool:
        """Whether the connection must not be used again."""
        return self in (DatabaseErrorKind.SESSION_LOST, DatabaseErrorKind.READ_ONLY)


_RETRY_AFTER_SECONDS = {
    DatabaseErrorKind.SESSION_LOST: 2,
    DatabaseErrorKind.READ_ONLY: 3,
    DatabaseErrorKind.CONFLICT: 1,
    DatabaseErrorKind.TIMEOUT: 2,
    DatabaseErrorKind.EXHAUSTED: 5,
}
_BY_STATE = {
    "25006": DatabaseErrorKind.READ_ONLY,  # read_only_sql_transaction
    "25P03": DatabaseErrorKind.SESSION_LOST,  # idle_in_transaction_session_timeout: we were frozen
    "25P04": DatabaseErrorKind.SESSION_LOST,  # transaction_timeout
    "40001": DatabaseErrorKind.CONFLICT,  # serialization_failure
    "40P01": DatabaseErrorKind.CONFLICT,  # deadlock_detected
    "55P03": DatabaseErrorKind.TIMEOUT,  # lock_not_available
    "57014": DatabaseErrorKind.TIMEOUT,  # query_canceled: the statement timeout
    "57P01": DatabaseErrorKind.SESSION_LOST,  # admin_shutdown
    "57P02": DatabaseErrorKind.SESSION_LOST,  # crash_shutdown
    "57P03": DatabaseErrorKind.SESSION_LOST,  # cannot_connect_now
    "57P04": DatabaseErrorKind.SESSION_LOST,  # database_dropped
    "57P05": DatabaseErrorKind.SESSION_LOST,  # idle_session_timeout
}
_BY_CLASS = {
    "08": DatabaseErrorKind.SESSION_LOST,  # connection_exception
    "53": DatabaseErrorKind.EXHAUSTED,  # insufficient_resources
    "58": DatabaseErrorKind.EXHAUSTED,  # system_error, such as an I/O error
}


def classify_database_error(error: BaseException | None) -> DatabaseErrorKind | None:
    """Returns why the database could not serve. None for a defect of ours, and for errors of another origin.

    Accepts errors of Django and of psycopg.
    """
    cause = error if isinstance(error, psycopg.Error) else getattr(error, "__cause__", None)
    state = cause.sqlstate if isinstance(cause, psycopg.Error) else None
    if state is not None and (known := _BY_STATE.get(state) or _BY_CLASS.get(state[:2])):
        return known
    # Errors without a code come from the client library: the connection is closed, or could not be made.
    lost = OperationalError | InterfaceError | PoolTimeout | psycopg.OperationalError | psycopg.InterfaceError
    return DatabaseErrorKind.SESSION_LOST if isinstance(error, lost) else None
