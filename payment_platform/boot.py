"""The checks that the gateway passes before it takes requests."""

import errno
import socket
import time
from collections.abc import Callable
from typing import Any

import psycopg
import redis
from django.conf import settings
from django.core.management import call_command
from django.db import OperationalError, connection
from django.db.backends.utils import CursorWrapper
from django.db.migrations.executor import MigrationExecutor
from django.urls import get_resolver
from prometheus_client import REGISTRY
from psycopg_pool import PoolTimeout

from common.postgresql.sessions import get_direct_settings, open_session
from common.redis import open_client
from common.tracing import configure_tracing
from sagas import registry

OLDEST_POSTGRESQL = 180000  # as libpq counts: uuidv7() came with 18
REDIS_SECONDS = 5
MIGRATION_LOCK = 4003  # any number, the same in every instance
MIGRATION_WAIT_SECONDS = 300
MIGRATION_POLL_SECONDS = 0.5
TIMEOUTS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
SAGA_TABLES = {"saga_instances", "saga_steps"}
FLOWS = {
    "payment.create",
    "payment.retry",
    "payment.cancel",
    "payment.capture",
    "payment.complete",
    "payment.increment_authorization",
    "refund.create",
    "dispute.respond",
    "payout.run",
}
METRICS = {
    "idempotency_requests",
    "idempotency_cache_hits",
    "idempotency_conflicts",
    "saga_started",
    "saga_completed",
    "saga_compensated",
    "saga_duration_seconds",
}

Print = Callable[[str], None]


class BootError(Exception):
    """The gateway cannot start. The text is one line for the operator: what is wrong, and what to do."""


def prepare(*, info: Print, warn: Print) -> None:
    """Checks and migrates. Prints the lines of the quick start, each once it is true. Raises `BootError`."""
    info("正在启动 Payment Gateway Service...")
    with _connect_database() as session:
        if settings.DB_TRANSACTION_POOLING:
            _check_pooler()
        info("数据库连接成功")
        _migrate(session)
    info("数据库迁移完成（包含 Saga 表）")
    if reason := _redis_failure():
        warn(
            f"Redis连接失败: {settings.REDIS_ADDRESS.label} ({reason}) — starting without Redis: "
            "payments work, slower. Is Redis running there? Check REDIS_URL, or REDIS_HOST and REDIS_PORT."
        )
    else:
        info("Redis连接成功")
    _register_metrics()
    _require("指标缺失", METRICS, {metric.name for metric in REGISTRY.collect()})
    info("Prometheus 指标初始化完成")
    exporting = configure_tracing(settings.SERVICE_NAME)
    info("Jaeger 追踪初始化完成" + ("" if exporting else "（未设置 OTEL_EXPORTER_OTLP_ENDPOINT，不导出）"))
    definitions = {definition.name for definition in registry.list_definitions()}
    info("Saga Orchestrator 初始化完成")
    _require("Saga 流程缺失", FLOWS, definitions)
    info("Saga Payment Service 初始化完成（功能已准备就绪）")


def require_free_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            advice = (
                f"stop what listens there (see `ss -ltnp | grep {port}`) or choose another PORT"
                if error.errno == errno.EADDRINUSE
                else "choose another PORT or WEB_HOST"
            )
            raise BootError(f"无法监听端口: {host}:{port} ({error.strerror}) — {advice}") from error


def _connect_database() -> "psycopg.Connection[Any]":
    """Opens a session outside the pool, so that a failure has the server's own reason. It holds the migration lock."""
    database = get_direct_settings()
    try:
        session = open_session(options=None)
    except psycopg.OperationalError as error:
        # "connection to server at …, port … failed: <reason>", and then questions to the reader
        reason = str(error).rpartition(" failed: ")[2].splitlines()[0]
        raise BootError(
            f"数据库连接失败: {database['HOST']}:{database['PORT']} ({reason}) — does PostgreSQL take writes "
            "there? Check DB_HOST, DB_PORT, DB_USER, DB_PASSWORD and DB_NAME."
        ) from error
    version = session.info.server_version
    if version < OLDEST_POSTGRESQL:
        session.close()
        raise BootError(
            f"数据库版本过低: {database['HOST']}:{database['PORT']} runs PostgreSQL {version // 10_000} — "
            f"upgrade it to {OLDEST_POSTGRESQL // 10_000} or newer."
        )
    return session


def _check_pooler() -> None:
    """A pooler passes no timeouts on, so the role must have them: a statement without an end would hold its locks."""
    try:
        with connection.cursor() as cursor:
            missing = [name for name in TIMEOUTS if _read_setting(cursor, name) == "0"]
    except (OperationalError, PoolTimeout) as error:
        raise BootError(
            f"数据库连接失败: {settings.DB_HOST}:{settings.DB_PORT} ({str(error).strip()}) — does the pooler run there?"
        ) from error
    finally:
        connection.close()
    if missing:
        commands = " ".join(f"ALTER ROLE {settings.DATABASE['USER']} SET {name} = '15s';" for name in missing)
        raise BootError(
            f"数据库缺少超时设置: {', '.join(missing)} — a pooler passes on no timeouts of ours. Run: {commands}"
        )


def _read_setting(cursor: CursorWrapper, name: str) -> str:
    cursor.execute("SELECT setting FROM pg_settings WHERE name = %s", [name])
    (value,) = cursor.fetchone()
    return str(value)


def _migrate(session: "psycopg.Connection[Any]") -> None:
    """Migrates. Instances that start together take turns; the session's end releases the lock.

    The lock is polled: a statement that waits for it holds a snapshot, and an index that is built CONCURRENTLY waits
    for every older snapshot.
    """
    give_up_at = time.monotonic() + MIGRATION_WAIT_SECONDS
    while not _take_migration_lock(session):
        if time.monotonic() >= give_up_at:
            raise BootError(
                f"数据库迁移失败: another instance has been migrating for {MIGRATION_WAIT_SECONDS} s — look at "
                "its log, then start this one again."
            )
        time.sleep(MIGRATION_POLL_SECONDS)
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        call_command("migrate", interactive=False, verbosity=0)
    _require("数据库缺少表", SAGA_TABLES, set(connection.introspection.table_names()))
    connection.close()


def _take_migration_lock(session: "psycopg.Connection[Any]") -> bool:
    row = session.execute("SELECT pg_try_advisory_lock(%s)", [MIGRATION_LOCK]).fetchone()
    return bool(row and row[0])


def _redis_failure() -> str:
    """Returns the reason why Redis does not answer. Empty when it does."""
    try:
        with open_client(timeout_seconds=REDIS_SECONDS) as client:
            client.ping()
    except redis.RedisError as error:
        return " ".join(str(error).split())
    return ""


def _register_metrics() -> None:
    """Imports every view: the modules of metrics are imported with them."""
    _ = get_resolver().url_patterns


def _require(error: str, wanted: set[str], found: set[str]) -> None:
    if missing := wanted - found:
        names = ", ".join(sorted(missing))
        raise BootError(f"{error}: {names} — this installation is incomplete; deploy it again.")
