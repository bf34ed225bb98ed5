"""Work that only one process does at a time."""

from typing import Any

import pytest
from django.db import connection, connections

from common.postgresql.exclusive import LOCK_CLASS, try_exclusive
from ledger.tasks import close_days
from monitoring.models import ConsistencyRun
from monitoring.tasks import check_consistency, prune

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

_END_SESSIONS = """
SELECT pg_terminate_backend(pid, 60000) FROM pg_locks
WHERE locktype = 'advisory' AND classid = %s
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def test_one_at_a_time_under_a_name() -> None:
    with try_exclusive("a") as first, try_exclusive("a") as second, try_exclusive("b") as other:
        assert (first, second, other) == (True, False, True)
    with try_exclusive("a") as again:
        assert again


def test_an_error_ends_the_lock() -> None:
    with pytest.raises(RuntimeError), try_exclusive("a"):
        raise RuntimeError
    with try_exclusive("a") as again:
        assert again


def test_a_session_that_is_gone_ends_the_lock() -> None:
    """The lock ends with the session of a process that died."""
    with try_exclusive("a") as first:
        assert first
        with connection.cursor() as cursor:
            cursor.execute(_END_SESSIONS, [LOCK_CLASS])
        with try_exclusive("a") as second:
            assert second


def test_a_task_that_is_sent_twice_runs_once() -> None:
    with try_exclusive("monitoring.check_consistency"), try_exclusive("monitoring.prune"):
        assert check_consistency() == 0
        prune()
        assert not ConsistencyRun.objects.exists()
    with try_exclusive("ledger.close_days"):
        assert close_days() == 0
    check_consistency()
    assert ConsistencyRun.objects.count() == 1


def test_the_lock_is_taken_past_a_pooler(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a pooler, the lock uses a direct connection: the pooler accepts neither options nor session locks."""
    ours = connection.settings_dict
    settings.DB_TRANSACTION_POOLING = True
    settings.DIRECT_DATABASE = {name: ours[name] for name in ("HOST", "PORT", "OPTIONS")}
    pooled = {name: value for name, value in ours["OPTIONS"].items() if name != "options"}
    monkeypatch.setattr(connections["default"], "settings_dict", {**ours, "PORT": "1", "OPTIONS": pooled})
    with try_exclusive("a") as first, try_exclusive("a") as second:
        assert (first, second) == (True, False)
