"""Expectations of statements for money that was in suspense."""

import datetime as dt

import pytest

from channels.base import RefundState
from gateway.models import SuspenseItem
from settlements.models import StatementExpectation, StatementFormat
from settlements.parsers.base import StatementIdentity
from settlements.services.importing import record_empty_day
from settlements.services.matching import settle_statement
from tests.ledger.test_postings import dispute
from tests.ledger.test_suspense import NEEDS_RESPONSE, WON, dashboard_refund
from tests.settlements.statements import find_day
from tests.support.shop import paid
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


def list_refunds(day: dt.date) -> list[tuple[str, str, int, str]]:
    """Settles an empty statement of the day, and returns the expected refunds."""
    identity = StatementIdentity("simulator", "test", None, day)
    file = record_empty_day(format=StatementFormat.CSV, identity=identity).file
    settle_statement(file_id=file.id)
    found = StatementExpectation.objects.filter(kind__startswith="refund").order_by("entry_id")
    return [(each.kind, each.reference, each.amount_minor, each.state) for each in found]


def test_a_refund_that_leaves_suspense_is_expected_once(client: SignedClient) -> None:
    day, payment = find_day(), paid(client)
    dispute(payment, NEEDS_RESPONSE, 8_000)
    dashboard_refund(payment, 4_000)
    dispute(payment, WON, 8_000)
    assert SuspenseItem.objects.get().status == "booked"
    refunds = list_refunds(day)
    assert [each[:3] for each in refunds] == [
        ("refund", "re_1", -4_000),
        ("refund", "re_1", 4_000),
        ("refund", "re_1", -4_000),
    ]


def test_a_refund_in_suspense_that_comes_back_is_a_reversal(client: SignedClient) -> None:
    day, payment = find_day(), paid(client)
    dispute(payment, NEEDS_RESPONSE, 8_000)
    dashboard_refund(payment, 5_000)
    dashboard_refund(payment, 5_000, RefundState.FAILED)
    assert list_refunds(day) == [
        ("refund", "re_1", -5_000, "open"),
        ("refund_reversal", "re_1", 5_000, "open"),
    ]
