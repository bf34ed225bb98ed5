"""Decisions of staff about a settlement case, and the resulting postings."""

import datetime as dt
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.utils import translation

from audit.models import StaffAction
from backoffice.settlement_admin import SettlementCasePageAdmin
from common.errors import NotPermitted
from monitoring.gauges import DatabaseGauges
from settlements.models import (
    SettlementCase,
    StatementExpectation,
    StatementFile,
    StatementFormat,
    StatementLine,
)
from settlements.parsers.base import StatementRefused
from settlements.services.cases import approve_write_off, ask_channel, book_case, request_write_off, take_case
from settlements.services.importing import record_empty_day
from settlements.services.matching import settle_statement
from tests.settlements.statements import (
    CHANNEL,
    Reported,
    build_csv,
    build_identity,
    expect,
    find_day,
    find_same_person,
    import_lines,
    list_cases,
    read_balances,
)

pytestmark = pytest.mark.django_db


def open_case() -> SettlementCase:
    """A case: 100.00 is expected, and the statement reports 90.00, of which 1.00 is the fee."""
    expect(("PAY-1", 10_000))
    import_lines([Reported("PAY-1", 9_000, fee_minor=100)])
    return SettlementCase.objects.get()


def test_booking_follows_the_statement() -> None:
    case = open_case()
    take_case(case_id=case.id, actor="ana", reason="mine")
    ask_channel(case_id=case.id, actor="ana", reason="why 90?")
    book_case(case_id=case.id, actor="ana", reason="they are right")
    assert read_balances() == {"suspense": 1_000, "channel_fees": 100, "channel_receivable": -1_100}
    case.refresh_from_db()
    assert (case.state, case.resolution, case.owner) == ("resolved", "booked", "ana")
    assert StaffAction.objects.filter(object_id=str(case.id)).count() == 3
    with pytest.raises(NotPermitted):
        book_case(case_id=case.id, actor="ana", reason="again")


def test_a_write_off_needs_a_second_person() -> None:
    case = open_case()
    with pytest.raises(NotPermitted):
        approve_write_off(case_id=case.id, actor="ben", reason="nobody asked", find_conflict=find_same_person)
    request_write_off(case_id=case.id, actor="ana", reason="too small to argue")
    with pytest.raises(NotPermitted, match="the same person"):
        approve_write_off(case_id=case.id, actor="ana", reason="my own", find_conflict=find_same_person)
    assert read_balances() == {}
    approve_write_off(case_id=case.id, actor="ben", reason="agreed", find_conflict=find_same_person)
    assert read_balances() == {"write_offs": 1_000, "channel_fees": 100, "channel_receivable": -1_100}


def test_the_database_refuses_a_write_off_by_one_person() -> None:
    case = open_case()
    alone = {
        "state": "resolved",
        "resolution": "written_off",
        "resolved_at": case.opened_at,
        "resolved_by": "ana",
        "write_off_requested_by": "ana",
    }
    with pytest.raises(IntegrityError, match="settlement_case_write_off_by_two"), transaction.atomic():
        SettlementCase.objects.filter(id=case.id).update(**alone)


def test_a_statement_is_imported_once_and_never_changed() -> None:
    expect(("PAY-1", 10_000))
    first = import_lines([Reported("PAY-1", 10_000)])
    assert import_lines([Reported("PAY-1", 10_000)]).id == first.id
    with pytest.raises(StatementRefused, match="other lines"):
        import_lines([Reported("PAY-1", 10_001)])
    line = StatementLine.objects.get()
    with pytest.raises(IntegrityError, match="keeps what the channel reported"), transaction.atomic():
        StatementLine.objects.filter(id=line.id).update(gross_minor=1, net_minor=1)
    with pytest.raises(IntegrityError, match="stays matched"), transaction.atomic():
        StatementLine.objects.filter(id=line.id).update(state="new", match=None)


def test_a_case_waits_while_a_statement_of_its_account_is_compared() -> None:
    case = SettlementCase.objects.create(
        channel=CHANNEL,
        environment="test",
        kind="missing_line",
        reference="PAY-1",
        currency="USD",
        expected_minor=100,
        reported_minor=0,
        reported_currency="USD",
    )
    matching = connection.copy()
    try:
        with matching.cursor() as cursor:
            name = f"settlements:{CHANNEL}:test:None"
            cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [name])
            assert cursor.fetchone() == (True,)
        with pytest.raises(NotPermitted):
            book_case(case_id=case.id, actor="ana", reason="they have lost it")
        case.refresh_from_db()
        assert case.state == "open"
    finally:
        with matching.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock_all()")  # a pool keeps the connection
        matching.close()
    book_case(case_id=case.id, actor="ana", reason="they have lost it")


def test_the_database_keeps_an_expectation_in_its_resolved_case() -> None:
    case = open_case()
    book_case(case_id=case.id, actor="ana", reason="they are right")
    expectation = StatementExpectation.objects.get()
    met = {"state": "met", "case": None, "match": expectation}
    with pytest.raises(IntegrityError, match="stays in it"), transaction.atomic():
        StatementExpectation.objects.filter(entry_id=expectation.entry_id).update(**met)


def test_two_accounts_of_one_person_cannot_write_a_case_off(settings: Any) -> None:
    settings.STAFF_OTP_REQUIRED, settings.APPROVER_AGE_HOURS = False, 0
    for name in ("ana", "ana-2"):
        User.objects.create_user(name, email="ana@example.com", is_staff=True)
    case = open_case()
    request_write_off(case_id=case.id, actor="ana", reason="too small to argue")
    (approve,) = [each for each in SettlementCasePageAdmin.staff_actions if each.name == "approve-write-off"]
    with translation.override("en"), pytest.raises(NotPermitted, match="share a mailbox"):
        approve.perform(User.objects.get(username="ana-2"), case, {"reason": "agreed"})


def test_a_day_that_was_empty_takes_its_file_later() -> None:
    expect(("PAY-1", 10_000))
    empty = record_empty_day(format=StatementFormat.CSV, identity=build_identity(find_day())).file
    settle_statement(file_id=empty.id)
    file = import_lines([Reported("PAY-1", 10_000)])
    assert StatementFile.objects.get().id == file.id != empty.id
    assert (file.state, list_cases()) == ("posted", [])
    with (
        pytest.raises(IntegrityError, match="statements are kept"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute("DELETE FROM statement_files")


def test_an_import_in_the_terminal_is_audited(tmp_path: Path) -> None:
    path = tmp_path / "bill.csv"
    path.write_bytes(build_csv([Reported("PAY-1", 10_000)], find_day()))
    arguments = (str(path), "--channel", CHANNEL, "--environment", "test", "--format", "csv")
    for _ in range(2):  # the second time, nothing is imported
        call_command(
            "import_statement", *arguments, "--day", str(find_day()), "--actor", "ana", stdout=StringIO()
        )
    file = StatementFile.objects.get()
    (action,) = StaffAction.objects.filter(action="statement.import")
    assert (action.actor, action.object_type, action.object_id) == ("terminal:ana", "statement", str(file.id))
    assert (action.after["name"], action.after["lines"]) == ("bill.csv", 1)
    assert file.imported_by == "terminal:ana"


def test_the_gauge_gives_the_age_of_the_oldest_case_that_waits_for_staff() -> None:
    old = open_case()
    opened_at = old.opened_at - dt.timedelta(days=2)
    SettlementCase.objects.filter(id=old.id).update(opened_at=opened_at)
    assert 2 * 86_400 <= read_oldest_case_seconds() < 3 * 86_400
    SettlementCase.objects.filter(id=old.id).update(state="asked")
    assert read_oldest_case_seconds() == 0


def read_oldest_case_seconds() -> float:
    (found,) = (
        gauge for gauge in DatabaseGauges().collect() if gauge.name == "settlement_oldest_case_seconds"
    )
    return float(found.samples[0].value)
