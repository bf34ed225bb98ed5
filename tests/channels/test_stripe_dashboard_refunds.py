"""Refunds made in Stripe's dashboard: they move money although they have none of our metadata."""

from typing import Any

import pytest

from gateway.models import Refund
from tests.support.shop import data, error, get_payment, refund, sync
from tests.support.signing import SignedClient
from tests.support.stripe.client import build_test_client
from tests.support.stripe.events import build_event, send
from tests.support.stripe.fake import FakeStripe
from tests.support.stripe.shop import create_paid_payment, get_intent_id
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


@pytest.fixture
def payment(fake: FakeStripe, client: SignedClient) -> dict[str, Any]:
    return create_paid_payment(fake, client)


def in_the_dashboard(fake: FakeStripe, payment: dict[str, Any], amount: int) -> dict[str, Any]:
    params: Any = {"payment_intent": get_intent_id(fake, payment), "amount": amount}
    return build_test_client(PATIENCE_SECONDS).v1.refunds.create(params).to_dict()


def test_the_payment_of_a_refund_is_found_by_its_payment_intent(
    fake: FakeStripe, client: SignedClient, payment: dict[str, Any]
) -> None:
    made = in_the_dashboard(fake, payment, 3_000)
    for kind in ("refund.created", "refund.updated", "charge.refund.updated"):
        expected = "applied" if kind == "refund.created" else "nothing_new"
        assert data(send(build_event(kind, made)))["effect"] == expected
    row = Refund.objects.get()
    assert (row.origin, row.channel_refund_no, row.status, row.amount_minor) == (
        "channel",
        made["id"],
        "succeeded",
        3_000,
    )
    assert get_payment(client, payment)["refunded_amount"] == 3_000
    assert error(refund(client, payment, 8_000), 422, "refund_exceeds_payment")["refundable_amount"] == 7_000


def test_all_refunds_of_a_refunded_charge_are_queried(
    fake: FakeStripe, client: SignedClient, payment: dict[str, Any]
) -> None:
    own = data(refund(client, payment, 1_000))
    in_the_dashboard(fake, payment, 3_000)
    in_the_dashboard(fake, payment, 2_000)
    charge = fake.account.charges[fake.get_intent(get_intent_id(fake, payment))["latest_charge"]]
    for _ in range(2):
        send(build_event("charge.refunded", charge))
        assert get_payment(client, payment)["refunded_amount"] == 6_000
    assert Refund.objects.exclude(refund_no=own["refund_no"]).filter(origin="channel").count() == 2


def test_a_refund_of_a_payment_that_is_not_ours_is_not_booked(
    fake: FakeStripe, client: SignedClient, payment: dict[str, Any]
) -> None:
    made = in_the_dashboard(fake, payment, 3_000)
    assert data(send(build_event("refund.created", {**made, "payment_intent": "pi_other"})))["effect"] == (
        "unknown_reference"
    )
    assert not Refund.objects.exists()
    assert data(sync(client, payment))["refunded_amount"] == 3_000
