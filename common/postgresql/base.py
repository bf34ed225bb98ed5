"""Django's PostgreSQL backend with a pool that discards read-only sessions.

After a failover an address can lead to a standby. It accepts connections and reads, and refuses each write with 25006;
Django's own check of a pooled connection (an empty query) passes there.

A request takes a connection more than once, because it gives it back before each call of a channel. So a connection is
checked only when it has been idle for a while. A session that breaks in less costs the same as one that breaks during a
request.
"""

import functools
import math
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, ClassVar

import psycopg
import structlog
from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.postgresql import base
from django.db.utils import DatabaseErrorWrapper
from django.utils.functional import cached_property
from psycopg._queries import (
    MAX_CACHED_STATEMENT_LENGTH,
    MAX_CACHED_STATEMENT_PARAMS,
    PostgresQuery,
    _query2pg_nocache,
)
from psycopg_pool import ConnectionPool

from common.database_errors import classify_database_error

log = structlog.get_logger(__name__)

TRUSTED_IDLE_SECONDS = 1.0
# Of statements with more parameters than this, such as bulk inserts, no translation is kept.
KEPT_PARAMS = 250


class TranslatedQuery(PostgresQuery):
    """Keeps the translation of parameters to `$1` also for statements of the hot path, which psycopg finds too long."""

    __slots__ = ()

    def convert(self, query: Any, vars: Any) -> None:
        count = len(vars) if isinstance(query, str) and vars is not None else 0
        if count > KEPT_PARAMS or not (
            count > MAX_CACHED_STATEMENT_PARAMS or (count and len(query) > MAX_CACHED_STATEMENT_LENGTH)
        ):
            super().convert(query, vars)
            return
        self.query, self._want_formats, self._order, self._parts = _translate(query, self._tx.encoding)
        self.dump(vars)


@functools.lru_cache(maxsize=64)
def _translate(query: str, encoding: str) -> tuple[bytes, Any, Any, Any]:
    return _query2pg_nocache(query.encode(encoding), encoding)


class TranslatingCursor(base.ServerBindingCursor):
    _query_cls = TranslatedQuery


class PooledSession(psycopg.Connection[Any]):
    # When it came back to the pool, by this process's monotonic clock. A new session was never checked.
    idle_since = -math.inf


class DatabaseWrapper(base.DatabaseWrapper):
    """Closes a session after an error that ends it, instead of returning it to the pool."""

    session_is_over = False
    # Attributes of Django's class that are missing in the type stubs.
    _connection_pools: "ClassVar[dict[str, ConnectionPool[Any]]]"
    _configure_connection: "Callable[[psycopg.Connection[Any]], None]"

    @cached_property
    def wrap_database_errors(self) -> DatabaseErrorWrapper:
        return _SessionEndWrapper(self)

    @property
    def pool(self) -> "ConnectionPool[Any] | None":
        """Django's pool with another check, which Django has no option for (Django ticket 37075)."""
        options = self.settings_dict["OPTIONS"].get("pool")
        if self.alias == NO_DB_ALIAS or not options:
            return None
        if self.alias not in self._connection_pools:
            pool: ConnectionPool[Any] = ConnectionPool(
                kwargs={**self.get_connection_params(), "autocommit": True},
                open=False,
                configure=self._configure_connection,
                connection_class=PooledSession,
                check=self._check_of_pool(),
                **options,
            )
            self._connection_pools.setdefault(self.alias, pool)
        return self._connection_pools[self.alias]

    def _check_of_pool(self) -> "Callable[[Any], None]":
        """A replica's sessions are read-only by intention."""
        is_replica = self.settings_dict["OPTIONS"].get("target_session_attrs") == "standby"
        return ConnectionPool.check_connection if is_replica else require_writable

    def get_connection_params(self) -> dict[str, Any]:
        params: dict[str, Any] = super().get_connection_params()
        if params["cursor_factory"] is base.ServerBindingCursor:
            params["cursor_factory"] = TranslatingCursor
        return params

    def _set_autocommit(self, autocommit: bool) -> None:
        # psycopg starts and ends a piece of work for each assignment, although it sends nothing.
        if self.connection.autocommit != autocommit:
            super()._set_autocommit(autocommit)  # type: ignore[misc]

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        self.session_is_over = False
        return super().get_new_connection(conn_params)

    def _close(self) -> Any:
        if self.session_is_over and self.connection is not None:
            self.connection.close()  # the pool replaces closed sessions
        if isinstance(self.connection, PooledSession):
            self.connection.idle_since = time.monotonic()
        self.session_is_over = False
        return super()._close()  # type: ignore[misc]


class _SessionEndWrapper(DatabaseErrorWrapper):
    wrapper: DatabaseWrapper

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        trouble = classify_database_error(exc_value) if isinstance(exc_value, psycopg.Error) else None
        if trouble is not None and trouble.ends_session:
            self.wrapper.session_is_over = True
        super().__exit__(exc_type, exc_value, traceback)


def require_writable(session: PooledSession) -> None:
    """Checks a pooled connection that has been idle before its use, in one round trip like Django's check.

    The server reports both settings whenever they change (protocol parameters since PostgreSQL 14), so that they are
    current after the round trip. Raises psycopg's `OperationalError`, upon which the pool makes another connection.
    """
    if time.monotonic() - session.idle_since < TRUSTED_IDLE_SECONDS:
        return
    ConnectionPool.check_connection(session)
    for setting in ("in_hot_standby", "default_transaction_read_only"):
        if session.info.parameter_status(setting) == "on":
            log.warning("database.session_discarded", reason=setting, host=session.info.host)
            raise psycopg.OperationalError(f"the session is read-only: {setting} is on")
