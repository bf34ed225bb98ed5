import gc
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.test import TransactionTestCase
from django.utils import translation
from pytest_django import DjangoDbBlocker

from channel_accounts.loaded_accounts import clear_cache
from tests.support import clean_database, shares, template_database
from tests.support.waiting import PATIENCE_MILLISECONDS, PATIENCE_SECONDS

if TYPE_CHECKING:
    from playwright.sync_api import Browser


# Each run tries the same examples, so that no test passes or fails by chance. `--long` draws others.
for name, derandomize in {"same": True, "others": False}.items():
    hypothesis.settings.register_profile(
        name,
        derandomize=derandomize,
        deadline=None,
        database=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )


def pytest_configure(config: pytest.Config) -> None:
    """Each process of the test run has a Redis database of its own, as it has in PostgreSQL, so that tests of other
    processes cannot see or flush its entries."""
    worker: str = getattr(config, "workerinput", {}).get("workerid", "gw0")
    address = f"redis://{settings.REDIS_HOST}:{settings.REDIS_PORT}/{int(worker.removeprefix('gw')) + 1}"
    settings.CACHES["default"]["LOCATION"] = settings.CELERY_BROKER_URL = address
    _be_patient()
    hypothesis.settings.load_profile("others" if config.getoption("--long") else "same")
    if config.getoption("--record-seconds"):
        config.pluginmanager.register(shares.Recorder(writes=not hasattr(config, "workerinput")))


def _be_patient() -> None:
    """Sets long timeouts: a loaded machine is slow, and a test may hold a lock or a transaction for which another
    thread waits. Tests of outages have servers or limits of their own."""
    settings.CACHES["default"]["OPTIONS"] |= {
        "SOCKET_TIMEOUT": PATIENCE_SECONDS,
        "SOCKET_CONNECT_TIMEOUT": PATIENCE_SECONDS,
    }
    options = settings.DATABASES[DEFAULT_DB_ALIAS]["OPTIONS"]  # the simulator's too
    options["pool"] |= {"timeout": PATIENCE_SECONDS}
    limit = f"{PATIENCE_SECONDS:.0f}s"
    options["options"] += f" -c lock_timeout={limit} -c idle_in_transaction_session_timeout={limit}"


# These files take minutes and need servers that no other test needs: they are collected only with --long.
LONG_FILES = (
    "tests/lab/test_scenarios.py",
    "tests/processes/test_rabbitmq.py",
    "tests/stack/test_restore_drill.py",
)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    is_heavy = any(collection_path == config.rootpath / name for name in LONG_FILES)
    return True if is_heavy and not config.getoption("--long", False) else None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Switches garbage collection off while pytest collects. Test modules stay in memory, so that later collections
    need not examine them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    seconds = shares.recorded()
    if config.getoption("--fast"):
        left_out = [item for item in items if not shares.is_fast(item, seconds)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if shares.is_fast(item, seconds)]
    workers: int = getattr(config, "workerinput", {}).get("workercount", 1)
    if workers > 1:
        items[:] = shares.dealt(items, workers, seconds)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Resets the language of the thread and the cache of channel accounts, which requests of other tests have left."""
    translation.deactivate()
    clear_cache()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--long",
        action="store_true",
        help="Longer random schedules, with PostgreSQL restarts; 10,000 payments through outages of Kafka; the lab,"
        " the restore drill, RabbitMQ, two releases side by side.",
    )
    parser.addoption(
        "--fast", action="store_true", help="Without tests that start processes or a browser or take seconds."
    )
    parser.addoption(
        "--record-seconds",
        action="store_true",
        help="Write tests/seconds.json: only of the whole suite, on a quiet machine.",
    )


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    request: pytest.FixtureRequest, django_db_modify_db_settings: None, django_db_blocker: DjangoDbBlocker
) -> None:
    worker: dict[str, str] = getattr(request.config, "workerinput", {})
    if worker:
        with django_db_blocker.unblock():
            template_database.use(worker["testrunuid"])


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Closes the second connection pool at the end: the test database cannot be dropped while it has connections."""
    with django_db_blocker.unblock():
        clean_database.install()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda _case: clean_database.restore())
        yield
    connections["simulator"].close_pool()  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def chromium() -> "Iterator[Browser]":
    """One headless browser for all tests of a process: a thread can run only one loop of Playwright."""
    from playwright.sync_api import expect, sync_playwright  # most runs need no browser

    # Playwright runs an event loop in this thread. Django would refuse queries there, which are safe in these tests.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    expect.set_options(timeout=PATIENCE_MILLISECONDS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"),
            args=["--no-sandbox"],
            timeout=PATIENCE_MILLISECONDS,
        )
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]
