"""Reconciliation with daily statements, which list the payments paid on a day in Beijing, not those created on it."""

import datetime as dt
from typing import Any

import pytest

from channels.base import ChannelPayment, ListingEntry, ListingSource, ListingWindow, PaymentState
from gateway.models import Payment, PaymentAttempt
from gateway.services.reconciliation.differences import ComparedCounts, ReconciliationScope, find_differences
from tests.support.channels import CAPABILITIES, AdditionalChannel, add_channel
from tests.support.shop import Body, create, data
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

BEIJING = dt.timezone(dt.timedelta(hours=8))
DAY = dt.date(2026, 6, 5)


def at(hour: int, minute: int, *, day: int = 0) -> dt.datetime:
    return dt.datetime.combine(DAY + dt.timedelta(days=day), dt.time(hour, minute), BEIJING)


class ChannelWithStatements(AdditionalChannel):
    """Its statement of a Beijing day exists only for days that are over at `NOW`."""

    now = at(12, 0, day=2)
    capabilities = CAPABILITIES.__class__(methods=CAPABILITIES.methods, listing=ListingSource.DAILY_STATEMENT)

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.paid: list[ListingEntry[ChannelPayment]] = []

    def list_payments(self, window: ListingWindow) -> Any:
        assert window.until <= dt.datetime.combine(self.now.date(), dt.time(), BEIJING), "no statement yet"
        return iter([each for each in self.paid if window.since <= each.created_at < window.until])

    def list_refunds(self, window: ListingWindow) -> Any:
        assert window.until <= dt.datetime.combine(self.now.date(), dt.time(), BEIJING), "no statement yet"
        return iter([])


@pytest.fixture
def bank(monkeypatch: pytest.MonkeyPatch) -> ChannelWithStatements:
    channel = ChannelWithStatements("statements")
    add_channel(monkeypatch, "statements", channel)
    return channel


def paid_payment(client: SignedClient, *, created: dt.datetime, learned: dt.datetime) -> Body:
    payment: Body = data(create(client, channel="statements", metadata={"statements": "auto_pay,no_webhook"}))
    Payment.objects.update(created_at=created, paid_at=learned)
    PaymentAttempt.objects.update(created_at=created, finished_at=learned)
    return payment


def listed(payment: Body, paid: dt.datetime) -> ListingEntry[ChannelPayment]:
    amount = payment["amount"]
    return ListingEntry(
        ChannelPayment(
            reference=payment["payment_no"],
            channel_trade_no=payment["channel_trade_no"],
            state=PaymentState.PAID,
            amount_minor=amount,
            currency=payment["currency"],
            captured_minor=amount,
        ),
        paid,
    )


def reconcile(day: int) -> tuple[list[str], int]:
    """Returns the kinds of differences of one Beijing day, and the number of compared payments."""
    counts = ComparedCounts()
    scope = ReconciliationScope("statements", "test", at(0, 0, day=day), at(0, 0, day=day + 1))
    return [each.kind for each in find_differences(scope=scope, counts=counts)], counts.payments


@pytest.mark.parametrize(
    ("created", "paid", "learned"),
    [
        (at(23, 58), at(0, 3, day=1), at(0, 3, day=1)),
        (at(20, 0), at(23, 0, day=1), at(23, 0, day=1)),
        (at(23, 50), at(23, 59), at(0, 1, day=1)),
        (at(9, 0), at(10, 0), at(9, 0, day=1)),
    ],
    ids=["paid_after_midnight", "paid_much_later", "learned_after_midnight", "learned_much_later"],
)
def test_a_payment_around_the_day_cut_is_compared_once(
    client: SignedClient,
    bank: ChannelWithStatements,
    created: dt.datetime,
    paid: dt.datetime,
    learned: dt.datetime,
) -> None:
    payment = paid_payment(client, created=created, learned=learned)
    bank.paid = [listed(payment, paid)]
    (first, compared_first), (second, compared_second) = reconcile(0), reconcile(1)
    assert (first, second) == ([], [])
    assert compared_first + compared_second == 1


def test_a_payment_on_no_statement_is_found_on_the_day_on_which_we_learned_of_it(
    client: SignedClient, bank: ChannelWithStatements
) -> None:
    paid_payment(client, created=at(23, 58), learned=at(0, 3, day=1))
    assert [reconcile(0), reconcile(1)] == [([], 0), (["missing_there"], 0)]
