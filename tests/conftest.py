import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from playwright.sync_api import Browser, sync_playwright
from pytest_django import DjangoDbBlocker

NEVER_CHANGED = {"django_content_type", "auth_permission"}


def pytest_configure(config: pytest.Config) -> None:
    """Each process of the test run has a Redis database of its own, as it has in PostgreSQL: what one test sees,
    counts or flushes is nobody else's."""
    worker: str = getattr(config, "workerinput", {}).get("workerid", "gw0")
    address = f"redis://{settings.REDIS_HOST}:{settings.REDIS_PORT}/{int(worker.removeprefix('gw')) + 1}"
    settings.CACHES["default"]["LOCATION"] = settings.CELERY_BROKER_URL = address


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--long",
        action="store_true",
        help="Longer random schedules, with PostgreSQL restarts; 10,000 payments through outages of Kafka.",
    )


def _flush(
    using: BaseDatabaseWrapper,
    truncate_all: Callable[..., list[str]],
    style: Any,
    tables: Sequence[str],
    **options: Any,
) -> list[str]:
    """Deletes what a test wrote: to truncate every table takes longer than most tests. After a test of plans all are
    truncated, statistics and dead rows with them."""
    written = " UNION ALL ".join(
        f"(SELECT '{table}' FROM \"{table}\" LIMIT 1)" for table in tables if table not in NEVER_CHANGED
    )
    with using.cursor() as cursor:
        cursor.execute("SELECT max(reltuples) > 500 FROM pg_class WHERE relname = ANY(%s)", [list(tables)])
        if cursor.fetchone()[0]:
            return truncate_all(style, tables, **options)
        cursor.execute(written)
        rows = cursor.fetchall()
    # Foreign keys and the triggers of tables that only grow look away.
    return ["SET LOCAL session_replication_role = replica", *(f'DELETE FROM "{table}"' for (table,) in rows)]


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The test database cannot be dropped while the second pool still holds connections to it.

    Tests that commit are cleaned up after by TRUNCATE, which the audit refuses: here it looks away, and the test of
    that trigger has it look again.
    """
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE staff_actions DISABLE TRIGGER staff_actions_not_truncated")
    for each in connections.all():
        each.ops.sql_flush = partial(_flush, each, each.ops.sql_flush)
    yield
    connections["simulator"].close_pool()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One headless browser for all tests of a process: two of Playwright's loops do not fit into one thread."""
    # Playwright keeps an event loop in this thread; the tests' own queries beside it are as safe as ever.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"]
        )
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]
