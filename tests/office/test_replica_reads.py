"""Lists, exports and reports are read from a replica, unless the reader has just written.

The replica is another session of the test database, in which the functions of a standby report that it has replayed
everything. `tests/processes/test_failover.py` has a real replica, which lags.
"""

import copy
import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from backoffice.exports import services
from backoffice.exports.models import Export
from common.own_writes import COOKIE
from common.postgresql import replica
from common.postgresql.replica import REPLICA
from ledger.reporting import TotalsQuery, read_daily_totals
from tests.support import shop
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator", REPLICA])

LIST = "admin:gateway_payment_changelist"
STANDBY = """
CREATE SCHEMA standby;
CREATE FUNCTION standby.pg_is_in_recovery() RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE FUNCTION standby.pg_last_wal_replay_lsn() RETURNS pg_lsn LANGUAGE sql AS $$ SELECT 'FFFFFFFF/0'::pg_lsn $$;
"""
# The error that PostgreSQL raises for a statement that delays the replay.
CANCELLED = """
CREATE FUNCTION standby.cancel() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'canceling statement due to conflict with recovery' USING ERRCODE = '40001'; END $$;
CREATE VIEW standby.payments AS SELECT * FROM public.payments WHERE standby.cancel();
"""


@pytest.fixture(scope="module", autouse=True)
def _replica(django_db_setup: None) -> Iterator[None]:
    """Adds the replica before Django collects the databases that a test may use."""
    ours = copy.deepcopy(connection.settings_dict)
    del ours["OPTIONS"]["pool"]
    ours["OPTIONS"]["options"] = "-c search_path=standby,pg_catalog,public"
    ours["TEST"]["MIRROR"] = "default"
    connections.settings[REPLICA] = ours
    yield
    del connections.settings[REPLICA]


@pytest.fixture
def standby(transactional_db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(replica, "_paused_until", 0.0)
    monkeypatch.setattr(replica, "PAUSE_SECONDS", 3600.0)
    settings.DB_REPLICA_HOST = "standby.internal"
    with connection.cursor() as cursor:
        cursor.execute(STANDBY)
    yield connections[REPLICA]
    connections[REPLICA].close()
    with connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA standby CASCADE")


@pytest.fixture
def vera(sign_in: Callable[..., Client]) -> Client:
    return sign_in("vera", "view_*")


def shown(browser: Client) -> int:
    answer = browser.get(reverse(LIST))
    assert answer.status_code == 200, answer
    return len(answer.context["cl"].result_list)


def reads_payments(queries: CaptureQueriesContext) -> bool:
    return any('FROM "payments"' in query["sql"] for query in queries)


def test_a_list_reads_the_replica_and_after_a_form_the_primary(
    client: SignedClient, vera: Client, standby: Any
) -> None:
    shop.opened(client)
    with CaptureQueriesContext(standby) as on_replica, CaptureQueriesContext(connection) as on_primary:
        assert shown(vera) == 1
    assert reads_payments(on_replica)
    assert not reads_payments(on_primary)

    answer = vera.post(reverse("staff_environment"), {"environment": "test", "next": "/admin/"})
    cookie = answer.cookies[COOKIE]
    assert int(cookie["max-age"]) > 5, "longer than the limit of the replica's lag"
    assert cookie["httponly"]
    with CaptureQueriesContext(standby) as on_replica, CaptureQueriesContext(connection) as on_primary:
        assert shown(vera) == 1
    assert len(on_replica) == 0
    assert reads_payments(on_primary)


def test_no_cookie_without_a_replica(vera: Client) -> None:
    answer = vera.post(reverse("staff_environment"), {"environment": "test", "next": "/admin/"})
    assert COOKIE not in answer.cookies


def test_a_cancelled_list_is_read_from_the_primary(client: SignedClient, vera: Client, standby: Any) -> None:
    shop.opened(client)
    with connection.cursor() as cursor:
        cursor.execute(CANCELLED)
    assert shown(vera) == 1
    with CaptureQueriesContext(standby) as on_replica:
        assert shown(vera) == 1
    assert len(on_replica) == 0, "the replica is not read again for a while"


def test_a_background_export_reads_the_replica_and_is_written_to_the_primary(
    client: SignedClient, standby: Any
) -> None:
    shop.opened(client)
    services.request_export(
        kind_name="payments", filters={}, actor="vera", reason="month end", in_background=True
    )
    with CaptureQueriesContext(standby) as on_replica, CaptureQueriesContext(connection) as on_primary:
        assert services.write_unfinished() == 0
    assert reads_payments(on_replica)
    assert not reads_payments(on_primary)
    export = Export.objects.get()
    assert (export.status, export.rows_written) == ("done", 1)


def test_totals_of_a_report_are_read_from_the_named_database(standby: Any) -> None:
    day = dt.date(2026, 1, 5)
    with CaptureQueriesContext(standby) as on_replica:
        assert list(read_daily_totals(TotalsQuery(start=day, end=day, database=REPLICA))) == []
    assert any("ledger_daily_balances" in query["sql"] for query in on_replica)
