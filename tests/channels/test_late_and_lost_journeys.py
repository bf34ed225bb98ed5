"""Journeys that every payment method must pass through the API when calls are lost, payments are late, webhooks arrive
in another order, or the channel contradicts itself. A new channel adds a harness, and no test."""

import pytest

from gateway.models import PaymentReview
from tests.channels.harness import ChannelHarness
from tests.channels.test_journeys import (
    build_channel_payment,
    complete_approved,
    create_payment,
    deliver,
    pay,
    require_equal_records,
)
from tests.support import background
from tests.support.auditing import _audited  # noqa: F401
from tests.support.polling import expire_due, poll_due
from tests.support.shop import Body, cancel, capture, create, data, get_payment, get_refund, refund, sync
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

lost = pytest.mark.parametrize("loses", ["request", "answer"])


@lost
def test_a_lost_cancellation_is_made_once(
    client: SignedClient, page_harness: ChannelHarness, loses: str
) -> None:
    harness = page_harness
    payment = create_payment(client, harness)
    harness.open_page(build_channel_payment(payment))
    harness.lose_call("cancel", loses, payment["payment_no"])
    assert cancel(client, payment).status_code in (200, 202)
    background.finish()
    deliver(harness, harness.take_webhooks())
    now = require_equal_records(client, harness, payment)
    assert (now["status"], now["captured_amount"]) == ("cancelled", 0)


def create_authorized(client: SignedClient, harness: ChannelHarness) -> Body:
    fields = {"currency": harness.currency, "capture_method": "manual", **harness.build_api_fields()}
    payment: Body = data(create(client, **fields))
    pay(harness, payment)
    data(sync(client, payment))
    complete_approved(harness)
    assert get_payment(client, payment)["status"] == "authorized"
    return payment


@lost
def test_a_lost_capture_is_made_once(
    client: SignedClient, capture_harness: ChannelHarness, loses: str
) -> None:
    harness = capture_harness
    payment = create_authorized(client, harness)
    harness.lose_call("capture", loses, payment["payment_no"])
    assert capture(client, payment, amount=2_500).status_code in (200, 202)
    background.finish()
    deliver(harness, harness.take_webhooks())
    now = require_equal_records(client, harness, payment)
    assert (now["status"], now["captured_amount"]) == ("succeeded", 2_500)


@lost
def test_a_lost_release_of_an_authorization_is_made_once(
    client: SignedClient, capture_harness: ChannelHarness, loses: str
) -> None:
    harness = capture_harness
    payment = create_authorized(client, harness)
    harness.lose_call("cancel", loses, payment["payment_no"])
    assert cancel(client, payment).status_code in (200, 202)
    background.finish()
    deliver(harness, harness.take_webhooks())
    background.finish()  # a late webhook reports the authorization: it is released once more, without an effect
    now = require_equal_records(client, harness, payment)
    assert (now["status"], now["captured_amount"]) == ("cancelled", 0)


@pytest.mark.parametrize("after", ["cancellation", "expiry"])
def test_a_late_payment_is_refunded(client: SignedClient, late_harness: ChannelHarness, after: str) -> None:
    harness = late_harness
    payment = create_payment(client, harness)
    if after == "cancellation":
        data(cancel(client, payment))
    else:
        background.expire_payment(payment["payment_no"])
        assert expire_due() == 1
        background.finish()
    closed = get_payment(client, payment)["status"]
    harness.pay_late(payment["payment_no"])
    deliver(harness, harness.take_webhooks())
    background.finish()
    harness.settle_refunds()
    background.make_checks_due()
    poll_due()
    deliver(harness, harness.take_webhooks())
    now = require_equal_records(client, harness, payment)
    assert now["status"] == closed
    assert (now["captured_amount"], now["refunded_amount"]) == (10_000, 10_000)


@pytest.mark.parametrize("order", ["once", "twice"])
def test_webhooks_of_the_payment_come_after_its_refund(
    client: SignedClient, harness: ChannelHarness, order: str
) -> None:
    """The older webhooks, which report the payment as paid, arrive after those of the refund."""
    payment = create_payment(client, harness)
    pay(harness, payment)
    of_payment = harness.take_webhooks()
    data(sync(client, payment))
    complete_approved(harness)
    of_payment += harness.take_webhooks()
    created_refund = refund(client, payment, 2_500).json()["data"]
    harness.settle_refunds()
    of_refund = harness.take_webhooks()
    deliver(harness, of_refund + of_payment)
    if order == "twice":
        deliver(harness, of_payment + of_refund)
    background.make_checks_due()
    poll_due()
    now = require_equal_records(client, harness, payment)
    assert (now["status"], now["captured_amount"], now["refunded_amount"]) == ("succeeded", 10_000, 2_500)
    assert get_refund(client, created_refund)["status"] == "succeeded"


def test_a_query_that_contradicts_the_webhook(
    client: SignedClient, contradicting_harness: ChannelHarness
) -> None:
    """The amount of the webhook stays, and the payment needs review because of the other amount."""
    harness = contradicting_harness
    payment = create_payment(client, harness)
    pay(harness, payment)
    deliver(harness, harness.take_webhooks())
    harness.contradict_query(payment["payment_no"])
    sync(client, payment)
    now = get_payment(client, payment)
    assert (now["status"], now["captured_amount"]) == ("succeeded", 10_000)
    assert [review.code for review in PaymentReview.objects.all()] == ["mismatch"]


@lost
def test_a_lost_completion_is_made_once(
    client: SignedClient, approving_harness: ChannelHarness, loses: str
) -> None:
    harness = approving_harness
    payment = create_payment(client, harness)
    pay(harness, payment)
    harness.lose_call("complete", loses, payment["payment_no"])
    deliver(harness, harness.take_webhooks())
    background.finish()
    deliver(harness, harness.take_webhooks())
    now = require_equal_records(client, harness, payment)
    assert (now["status"], now["captured_amount"]) == ("succeeded", 10_000)
