"""What the poller claims: merchants in turns, each channel by itself, of a merchant what is latest for its interval."""

from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now

from gateway.models import Payment
from gateway.services import expiry, polling
from tests.support.channels import intercept_simulator
from tests.support.plans import scans
from tests.support.polling import expire_due, poll_due
from tests.support.shop import opened
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

MINUTE = timedelta(minutes=1)


def due(*numbers: str, by: timedelta = MINUTE, checks: int = 0) -> None:
    Payment.objects.filter(payment_no__in=numbers).update(next_check_at=Now() - by, check_count=checks)


def open_payments(client: SignedClient, count: int, **fields: object) -> list[str]:
    return [opened(client, **fields)["payment_no"] for _ in range(count)]


def claimed(places: int, *, channel: str = "simulator") -> list[str]:
    batch = polling.claim(polling.CLAIM_PAYMENTS, environment="test", channel=channel, places=places)
    return [Payment.objects.get(id=item.id).payment_no for item in batch.items]


def test_one_merchant_gets_half_of_the_places(client: SignedClient) -> None:
    due(*open_payments(client, 5))
    assert len(claimed(6)) == 3


def test_a_newcomer_finds_a_place_beside_a_backlog(client: SignedClient, other_client: SignedClient) -> None:
    due(*open_payments(client, 5), by=100 * MINUTE)
    (newcomer,) = open_payments(other_client, 1)
    due(newcomer)
    assert newcomer in claimed(4)


def test_each_channel_and_environment_is_claimed_by_itself(client: SignedClient) -> None:
    due(*open_payments(client, 1))
    assert claimed(4, channel="stripe") == []
    assert not polling.claim(polling.CLAIM_PAYMENTS, environment="live", channel="simulator", places=4).items
    assert len(claimed(4)) == 1


def test_the_newest_come_first_and_nobody_starves(client: SignedClient) -> None:
    """A minute late is much for a check that is due each minute, and little for one that is due every six hours."""
    new, old = open_payments(client, 2)
    due(new)
    due(old, checks=9)
    assert claimed(1) == [new]
    due(new)
    due(old, checks=9, by=timedelta(days=1))
    assert claimed(1) == [old]


def test_large_amounts_come_before_small_ones(client: SignedClient) -> None:
    (small,), (large,) = open_payments(client, 1, amount=100), open_payments(client, 1, amount=9_000_000)
    due(small, large)
    assert claimed(1) == [large]


def test_all_that_is_due_is_polled_however_much_it_is(client: SignedClient) -> None:
    due(*open_payments(client, 12))
    assert poll_due() == 12
    assert poll_due() == 0


def test_a_claim_is_good_once(client: SignedClient) -> None:
    due(*open_payments(client, 1))
    assert len(claimed(4)) == 1
    assert claimed(4) == []


def test_during_the_call_no_connection_is_held(client: SignedClient, monkeypatch: pytest.MonkeyPatch) -> None:
    due(*open_payments(client, 1))
    line, held = intercept_simulator(monkeypatch), []
    line.before = lambda _operation, _request: held.append(connection.connection is not None)
    assert poll_due() == 1
    assert held == [False]


def test_claims_go_through_their_indexes(client: SignedClient) -> None:
    """So few rows are read through in any case, unless the planner is told not to."""
    due(*open_payments(client, 1))
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
    values = polling.claim_values(
        environment="test", channel="simulator", places=4, held={}, after=polling.NO_MERCHANT
    )
    for sql, index in (
        (polling.CLAIM_PAYMENTS, "payment_due_check"),
        (polling.CLAIM_REFUNDS, "refund_due_check"),
    ):
        assert index in {node.get("Index Name") for node in scans(sql, values)}
    found = scans(expiry.DUE, expiry.due_values(environment="test", first=polling.NO_MERCHANT))
    assert "payment_expiry_by_merchant" in {node.get("Index Name") for node in found}
    with connection.cursor() as cursor:
        cursor.execute("RESET enable_seqscan")


def test_expiry_takes_merchants_in_turns(
    client: SignedClient, other_client: SignedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry, "BATCH", 2)
    hostile, (other,) = open_payments(client, 4), open_payments(other_client, 1)
    Payment.objects.filter(payment_no__in=hostile).update(expires_at=Now() - 100 * MINUTE)
    Payment.objects.filter(payment_no=other).update(expires_at=Now())
    with connection.cursor() as cursor:
        cursor.execute(expiry.DUE, expiry.due_values(environment="test", first=polling.NO_MERCHANT))
        first = {payment_id for (payment_id,) in cursor.fetchall()}
    assert len(first) == 2
    assert Payment.objects.get(payment_no=other).id in first
    monkeypatch.undo()
    assert expire_due() == 5
