"""A worker of a release waits for the migrations of that release."""

import threading
from collections.abc import Iterator

import pytest
from django.db import connection, connections

from common.postgresql.schema import list_missing_migrations, wait_for_migrations
from tests.support.waiting import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

LAST = ("gateway", "0002_status_guards")


@pytest.fixture
def _one_missing() -> Iterator[None]:
    """The list of applied migrations without the last one."""
    _write("DELETE FROM django_migrations WHERE app = %s AND name = %s")
    yield
    _write("DELETE FROM django_migrations WHERE app = %s AND name = %s")
    _record()


def _write(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, LAST)


def _record() -> None:
    _write("INSERT INTO django_migrations (app, name, applied) VALUES (%s, %s, now())")


def _wait_in_thread(stop: threading.Event) -> threading.Thread:
    def wait() -> None:
        try:
            wait_for_migrations(stop)
        finally:
            connections.close_all()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.mark.usefixtures("_one_missing")
def test_it_waits_for_the_missing_migration_and_names_it(caplog: pytest.LogCaptureFixture) -> None:
    assert list_missing_migrations() == [".".join(LAST)]
    thread = _wait_in_thread(threading.Event())
    wait_until(lambda: "worker.waits_for_migrations" in caplog.text, PATIENCE_SECONDS, "the warning")
    assert ".".join(LAST) in caplog.text
    assert thread.is_alive()
    _record()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()


@pytest.mark.usefixtures("_one_missing")
def test_a_signal_ends_the_wait() -> None:
    stop = threading.Event()
    thread = _wait_in_thread(stop)
    stop.set()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()


def test_a_newer_database_is_fine() -> None:
    """During a rollout, the old release runs on the tables of the new one."""
    newer = ("gateway", "9999_next_release")
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO django_migrations (app, name, applied) VALUES (%s, %s, now())", newer)
        try:
            assert list_missing_migrations() == []
        finally:
            cursor.execute("DELETE FROM django_migrations WHERE app = %s AND name = %s", newer)
