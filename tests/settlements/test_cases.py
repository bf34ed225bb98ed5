"""What staff decide about a case, and what the ledger then shows."""

import pytest
from django.db import IntegrityError, transaction

from audit.models import StaffAction
from common.errors import NotPermitted
from ledger.models import TransferEntry
from settlements.models import SettlementCase, StatementLine
from settlements.parsers.base import StatementRefused
from settlements.services.cases import approve_write_off, ask_channel, book_case, request_write_off, take_case
from tests.settlements.statements import Reported, expect, import_lines

pytestmark = pytest.mark.django_db


def read_balances() -> dict[str, int]:
    """Of what statements have posted: debits less credits by kind of account."""
    found: dict[str, int] = {}
    events = ("channel.fee", "channel.payout", "statement.corrected")
    for entry in TransferEntry.objects.filter(transfer__event__in=events).select_related("account"):
        sign = 1 if entry.direction == "debit" else -1
        found[entry.account.kind] = found.get(entry.account.kind, 0) + sign * entry.amount_minor
    return found


def open_case() -> SettlementCase:
    """100.00 expected, 90.00 reported, 1.00 of it the fee."""
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
        approve_write_off(case_id=case.id, actor="ana", reason="nobody asked")
    request_write_off(case_id=case.id, actor="ana", reason="too small to argue")
    with pytest.raises(NotPermitted):
        approve_write_off(case_id=case.id, actor="ana", reason="my own")
    assert read_balances() == {}
    approve_write_off(case_id=case.id, actor="ben", reason="agreed")
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
