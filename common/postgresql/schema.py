"""Whether the tables are as new as the code that runs."""

import threading

import structlog
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.executor import MigrationExecutor
from psycopg_pool import PoolTimeout

from common.database_errors import classify_database_error

log = structlog.get_logger(__name__)

WAIT_SECONDS = 2.0


def list_missing_migrations() -> list[str]:
    """The migrations of this release that the database does not have, such as `gateway.0003_retries`."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _backwards in plan]


def wait_for_migrations(stop: threading.Event) -> None:
    """Waits until the database has all migrations of this release, or `stop` is set.

    A worker of a new release that starts too early would fail at each item. A database with more migrations is fine:
    the release before runs on the tables of the next one. Waits through outages too.
    """
    announced: list[str] = []
    while not stop.is_set():
        try:
            missing = list_missing_migrations()
        except (DatabaseError, InterfaceError, PoolTimeout) as error:
            if classify_database_error(error) is None:
                raise
            log.warning("worker.database_lost", worker="migrations", reason=str(error))
        else:
            if not missing:
                return
            if missing != announced:
                log.warning("worker.waits_for_migrations", missing=missing)
                announced = missing
        finally:
            connection.close()
        stop.wait(WAIT_SECONDS)
