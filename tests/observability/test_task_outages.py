"""While the database is unavailable, each run of a periodic task logs one line. A defect logs a stack trace."""

from collections.abc import Callable
from typing import Any

import pytest
from celery import Task
from django.db import OperationalError, connection, connections

from monitoring.tasks import prune, prune_sessions
from payment_platform.celery import app
from payment_platform.periodic_task import PeriodicTask
from payment_platform.schedule import beat_schedule
from scripts.local.testing import free_port

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

EVENT = "task.database_unavailable"


@pytest.fixture
def _no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """Points the connection to a port at which no server listens. The pool is not used."""
    unreachable = {**connection.settings_dict, "HOST": "127.0.0.1", "PORT": str(free_port())}
    monkeypatch.setattr(connections["default"], "settings_dict", unreachable)


def _fail(monkeypatch: pytest.MonkeyPatch, statement: str) -> None:
    """Makes `prune_sessions` execute a statement that raises an error of PostgreSQL."""

    def run() -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement)

    monkeypatch.setattr("monitoring.tasks.SessionStore.clear_expired", run)


def _run(task: "Task[Any, Any]", caplog: pytest.LogCaptureFixture) -> tuple[str, list[str]]:
    """Runs the task as a worker does. Returns its state, and each warning and error with its stack trace."""
    with caplog.at_level("WARNING"):
        state = task.apply().state
    return state, [f"{record.getMessage()} {record.exc_text or ''}" for record in caplog.records]


@pytest.mark.usefixtures("_no_database")
def test_an_unreachable_database_logs_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    state, (line,) = _run(prune, caplog)
    assert state == "IGNORED", (
        "the run does not count as a success, so that the alert of the task still fires"
    )
    assert EVENT in line
    assert "session_lost" in line
    assert "Connection refused" in line
    assert "Traceback" not in line


@pytest.mark.parametrize(
    ("state_of_postgresql", "kind"),
    [("57P01", "session_lost"), ("25006", "read_only"), ("53100", "exhausted")],
)
def test_an_outage_is_known_by_its_class(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, state_of_postgresql: str, kind: str
) -> None:
    _fail(monkeypatch, f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{state_of_postgresql}'; END $$")
    state, (line,) = _run(prune_sessions, caplog)
    assert (state, EVENT in line, kind in line) == ("IGNORED", True, True)


@pytest.mark.parametrize(
    "statement", ["SELECT 1 FROM nowhere", "SET LOCAL statement_timeout = 1; SELECT pg_sleep(60)"]
)
def test_a_defect_and_a_slow_statement_keep_their_stack_trace(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    _fail(monkeypatch, statement)
    state, lines = _run(prune_sessions, caplog)
    assert state == "FAILURE"
    assert "Traceback" in "".join(lines)
    assert EVENT not in "".join(lines)


def test_a_direct_call_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    _fail(monkeypatch, "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '57P01'; END $$")
    call: Callable[[], None] = prune_sessions
    with pytest.raises(OperationalError):
        call()


def test_every_scheduled_task_is_a_periodic_task() -> None:
    app.loader.import_default_modules()
    tasks = [app.tasks[name] for name in beat_schedule(sweep_seconds=2)]
    assert not [task.name for task in tasks if not isinstance(task, PeriodicTask)]
