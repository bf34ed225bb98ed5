"""While the database is unavailable, a request gets 503 with Retry-After, and its repetition has one effect.

The errors are PostgreSQL's own: a trigger raises them with the SQLSTATE of
https://www.postgresql.org/docs/current/errcodes-appendix.html.
"""

from collections.abc import Iterator

import pytest
from django.db import connection
from django.test import Client

from common.database_errors import DatabaseErrorKind
from gateway.models import Payment
from sagas.models import SagaInstance
from tests.support.shop import create, data, error, new_no, payment_request
from tests.support.signing import SignedClient
from tests.support.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

UNAVAILABLE = {
    "25006": DatabaseErrorKind.READ_ONLY,
    "25P03": DatabaseErrorKind.SESSION_LOST,
    "53100": DatabaseErrorKind.EXHAUSTED,
    "53200": DatabaseErrorKind.EXHAUSTED,
    "53300": DatabaseErrorKind.EXHAUSTED,
    "55P03": DatabaseErrorKind.TIMEOUT,
    "57014": DatabaseErrorKind.TIMEOUT,
    "57P01": DatabaseErrorKind.SESSION_LOST,
    "57P02": DatabaseErrorKind.SESSION_LOST,
    "57P03": DatabaseErrorKind.SESSION_LOST,
    "57P05": DatabaseErrorKind.SESSION_LOST,
    "58030": DatabaseErrorKind.EXHAUSTED,
    "08006": DatabaseErrorKind.SESSION_LOST,
}


class Failing:
    """Makes the next writes to a table fail with an SQLSTATE."""

    def __init__(self) -> None:
        self._tables: list[str] = []
        with connection.cursor() as cursor:
            cursor.execute("DROP SEQUENCE IF EXISTS failures_of_a_test")
            cursor.execute("CREATE SEQUENCE failures_of_a_test")  # a rollback does not reset the sequence

    def writes(self, event: str, table: str, code: str, *, times: int = 1_000_000) -> None:
        self._tables.append(table)
        with connection.cursor() as cursor:
            cursor.execute("ALTER SEQUENCE failures_of_a_test RESTART")
            cursor.execute(
                f"CREATE FUNCTION failing_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                f" IF nextval('failures_of_a_test') <= {times} THEN"
                f" RAISE EXCEPTION 'as a test wants it' USING ERRCODE = '{code}'; END IF; RETURN NEW; END $$"
            )
            cursor.execute(
                f"CREATE TRIGGER failing BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION failing_{table}()"
            )

    def end(self) -> None:
        with connection.cursor() as cursor:
            while self._tables:
                cursor.execute(f"DROP FUNCTION failing_{self._tables.pop()} CASCADE")
            cursor.execute("DROP SEQUENCE IF EXISTS failures_of_a_test")


@pytest.fixture
def failing() -> Iterator[Failing]:
    failing = Failing()
    yield failing
    failing.end()


@pytest.mark.parametrize("code", UNAVAILABLE)
def test_database_trouble_is_a_503_and_the_repetition_succeeds(
    failing: Failing, client: SignedClient, code: str
) -> None:
    failing.writes("INSERT", "payments", code)
    body, key = payment_request("auto_pay"), new_no("KEY")
    answer = client.post("/api/v1/payments", body, idempotency_key=key)
    assert error(answer, 503, "service_unavailable") == {}
    assert answer["Retry-After"] == UNAVAILABLE[code].retry_after
    assert not Payment.objects.exists()
    failing.end()
    assert data(client.post("/api/v1/payments", body, idempotency_key=key))["status"] == "succeeded"
    assert Payment.objects.count() == 1


@pytest.mark.parametrize("code", ["25006", "57P01", "08006", "25P03"])
def test_a_broken_session_is_closed(failing: Failing, client: SignedClient, code: str) -> None:
    failing.writes("INSERT", "payments", code)
    session = _session()
    assert create(client).status_code == 503
    connection.close()
    wait_until(lambda: not _is_open(session), 60, "the end of the session")


def test_a_healthy_session_is_kept(failing: Failing, client: SignedClient) -> None:
    failing.writes("INSERT", "payments", "57014")
    session = _session()
    assert create(client).status_code == 503
    connection.close()
    assert _is_open(session)


@pytest.mark.parametrize("code", ["40P01", "40001"])
@pytest.mark.parametrize(("event", "table"), [("INSERT", "payments"), ("UPDATE", "payments")])
def test_a_conflict_is_repeated(
    failing: Failing, client: SignedClient, event: str, table: str, code: str
) -> None:
    """The conflict is in the commit of the claim, or in the commit after the call. The merchant gets no error."""
    failing.writes(event, table, code, times=2)
    assert data(create(client, "auto_pay"))["status"] == "succeeded"
    assert SagaInstance.objects.get().status == "completed"


def test_a_lasting_conflict_is_a_503(failing: Failing, client: SignedClient) -> None:
    failing.writes("INSERT", "payments", "40P01")
    answer = create(client)
    assert error(answer, 503, "service_unavailable") == {}
    assert answer["Retry-After"] == "1"


def test_a_defect_is_not_reported_as_an_outage(failing: Failing, client: SignedClient) -> None:
    failing.writes("INSERT", "payments", "22012")  # division by zero
    error(create(client), 500, "internal_error")


def test_database_trouble_outside_the_api(failing: Failing) -> None:
    """The back office and the middlewares are not covered by the API's error handler."""
    failing.writes("INSERT", "axes_accessattempt", "25006")
    browser = Client(raise_request_exception=False)
    answer = browser.post("/admin/login/", {"username": "nobody", "password": "wrong"})
    assert answer.status_code == 503
    assert int(answer["Retry-After"]) >= 1


def _session() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid: int = cursor.fetchone()[0]
        return pid


def _is_open(pid: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", [pid])
        return bool(cursor.fetchone()[0])
