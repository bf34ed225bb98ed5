"""The poller claims fairly between merchants, separately for each channel, and most overdue first."""

from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now

from gateway.models import Payment
from gateway.services import expiry
from gateway.services.polling_claims import (
    CLAIM_PAYMENTS,
    CLAIM_REFUNDS,
    NO_MERCHANT,
    build_claim_parameters,
    claim_due_polls,
)
from tests.support.channels import intercept_simulator
from tests.support.plans import scans
from tests.support.polling import expire_due, poll_due
from tests.support.shop import opened
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

MINUTE = timedelta(minutes=1)


def make_due(*numbers: str, by: timedelta = MINUTE, checks: int = 0) -> None:
    Payment.objects.filter(payment_no__in=numbers).update(next_check_at=Now() - by, check_count=checks)


def open_payments(client: SignedClient, count: int, **fields: object) -> list[str]:
    return [opened(client, **fields)["payment_no"] for _ in range(count)]


def claim_payments(places: int, *, channel: str = "simulator") -> list[str]:
    claimed = claim_due_polls(CLAIM_PAYMENTS, environment="test", channel=channel, places=places)
    return [Payment.objects.get(id=item.id).payment_no for item in claimed.items]


def test_one_merchant_gets_half_of_the_places(client: SignedClient) -> None:
    make_due(*open_payments(client, 5))
    assert len(claim_payments(6)) == 3


def test_another_merchants_payment_is_claimed_beside_a_backlog(
    client: SignedClient, other_client: SignedClient
) -> None:
    make_due(*open_payments(client, 5), by=100 * MINUTE)
    (other,) = open_payments(other_client, 1)
    make_due(other)
    assert other in claim_payments(4)


def test_each_channel_and_environment_is_claimed_by_itself(client: SignedClient) -> None:
    make_due(*open_payments(client, 1))
    assert claim_payments(4, channel="stripe") == []
    assert not claim_due_polls(CLAIM_PAYMENTS, environment="live", channel="simulator", places=4).items
    assert len(claim_payments(4)) == 1


def test_the_most_overdue_for_its_interval_comes_first(client: SignedClient) -> None:
    """A minute of delay counts more for a payment that is polled each minute than for one that is polled every six
    hours."""
    new, old = open_payments(client, 2)
    make_due(new)
    make_due(old, checks=9)
    assert claim_payments(1) == [new]
    make_due(new)
    make_due(old, checks=9, by=timedelta(days=1))
    assert claim_payments(1) == [old]


def test_large_amounts_come_before_small_ones(client: SignedClient) -> None:
    (small,), (large,) = open_payments(client, 1, amount=100), open_payments(client, 1, amount=9_000_000)
    make_due(small, large)
    assert claim_payments(1) == [large]


def test_all_due_payments_are_polled(client: SignedClient) -> None:
    make_due(*open_payments(client, 12))
    assert poll_due() == 12
    assert poll_due() == 0


def test_a_due_payment_is_claimed_once(client: SignedClient) -> None:
    make_due(*open_payments(client, 1))
    assert len(claim_payments(4)) == 1
    assert claim_payments(4) == []


def test_no_database_connection_is_held_during_the_call(
    client: SignedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_due(*open_payments(client, 1))
    simulator, held = intercept_simulator(monkeypatch), []
    simulator.before = lambda _operation, _request: held.append(connection.connection is not None)
    assert poll_due() == 1
    assert held == [False]


def test_claims_use_their_indexes(client: SignedClient) -> None:
    """Sequential scans and sorts are disabled, because the planner prefers them for few rows."""
    make_due(*open_payments(client, 1))
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off; SET enable_sort = off")
    values = build_claim_parameters(
        environment="test", channel="simulator", places=4, held={}, after=NO_MERCHANT
    )
    for sql, index in (
        (CLAIM_PAYMENTS, "payment_due_check"),
        (CLAIM_REFUNDS, "refund_due_check"),
    ):
        assert index in {node.get("Index Name") for node in scans(sql, values)}
    found = scans(expiry.DUE_PAYMENTS, expiry.build_due_parameters(environment="test", first=NO_MERCHANT))
    assert "payment_expiry_by_merchant" in {node.get("Index Name") for node in found}
    with connection.cursor() as cursor:
        cursor.execute("RESET enable_seqscan; RESET enable_sort")


def test_expiry_is_fair_between_merchants(
    client: SignedClient, other_client: SignedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry, "BATCH_SIZE", 2)
    hostile, (other,) = open_payments(client, 4), open_payments(other_client, 1)
    Payment.objects.filter(payment_no__in=hostile).update(expires_at=Now() - 100 * MINUTE)
    Payment.objects.filter(payment_no=other).update(expires_at=Now())
    with connection.cursor() as cursor:
        cursor.execute(
            expiry.DUE_PAYMENTS, expiry.build_due_parameters(environment="test", first=NO_MERCHANT)
        )
        first = {payment_id for (payment_id,) in cursor.fetchall()}
    assert len(first) == 2
    assert Payment.objects.get(payment_no=other).id in first
    monkeypatch.undo()
    assert expire_due() == 5
