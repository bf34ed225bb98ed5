"""Refunds at Stripe that no webhook reports: the hourly task finds them by Stripe's list."""

from typing import Any

import pytest

from channels.base import ListingFailed
from gateway.models import Refund
from gateway.tasks import find_unreported_refunds
from payment_platform.celery import app
from tests.support.auditing import _audited  # noqa: F401
from tests.support.shop import Body, data, get_payment, get_refund, refund
from tests.support.signing import SignedClient
from tests.support.stripe.client import build_test_client
from tests.support.stripe.fake import VISA, FakeStripe, Fault
from tests.support.stripe.shop import create_paid_payment, get_intent_id
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


@pytest.fixture
def payment(fake: FakeStripe, client: SignedClient) -> Body:
    return create_paid_payment(fake, client)


def test_the_task_runs_every_hour() -> None:
    assert app.conf.beat_schedule["gateway.find_unreported_refunds"]["schedule"] == 3600
    assert "gateway.find_unreported_refunds" in app.tasks


def test_refunds_of_the_dashboard_are_booked_once(
    fake: FakeStripe, client: SignedClient, payment: Body
) -> None:
    own = data(refund(client, payment, 1_000))
    numbers = {fake.refund_in_dashboard(get_intent_id(fake, payment), each)["id"] for each in (3_000, 2_000)}
    fake.requests_seen.clear()
    assert find_unreported_refunds() == 2
    assert set(fake.requests_seen) == {"GET /v1/refunds"}, "the list names the payment of each refund"
    assert find_unreported_refunds() == 0
    found = Refund.objects.exclude(refund_no=own["refund_no"])
    assert set(found.values_list("channel_refund_no", flat=True)) == numbers
    assert set(found.values_list("origin", "status")) == {("channel", "succeeded")}
    assert get_payment(client, payment)["refunded_amount"] == 6_000


def test_a_changed_outcome_is_applied(fake: FakeStripe, client: SignedClient, payment: Body) -> None:
    given = data(refund(client, payment, 4_000))
    fake.settle_refund(given["channel_refund_no"], "failed", failure_reason="unknown")
    assert find_unreported_refunds() == 1
    assert get_refund(client, given)["status"] == "failed"
    assert get_payment(client, payment)["refundable_amount"] == 10_000


def test_a_refund_of_a_payment_that_is_not_ours_is_not_booked(fake: FakeStripe, client: SignedClient) -> None:
    api = build_test_client(PATIENCE_SECONDS)
    params: Any = {
        "amount": 500,
        "currency": "usd",
        "payment_method": VISA,
        "confirm": True,
        "payment_method_types": ["card"],
    }
    fake.refund_in_dashboard(api.v1.payment_intents.create(params).id, 500)
    assert find_unreported_refunds() == 0
    assert not Refund.objects.exists()


def test_the_task_fails_when_the_list_breaks_off_and_reads_it_again(
    fake: FakeStripe, client: SignedClient, payment: Body
) -> None:
    fake.refund_in_dashboard(get_intent_id(fake, payment), 3_000)
    fake.plan_fault(Fault.EXPIRED_API_KEY, "GET /v1/refunds")
    with pytest.raises(ListingFailed):
        find_unreported_refunds()
    assert find_unreported_refunds() == 1
