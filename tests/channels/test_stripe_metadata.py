"""Our entries in the metadata of Stripe's objects: never written by a merchant, never refused by Stripe
(docs.stripe.com/api/metadata)."""

import datetime as dt
from dataclasses import replace

import pytest

from channels.base import ListingWindow, PaymentOrigin, PaymentState, RefundRef, Reported
from channels.stripe import metadata
from merchants.services import NewMerchant
from tests.channels.harness import (
    StripeHarness,
    build_ref,
    build_refund,
    create_open,
    create_paid,
)
from tests.support.shop import create, data, get_payment
from tests.support.signing import SignedClient
from tests.support.stripe.events import build_event, send
from tests.support.stripe.fake import DECLINED_CARD, FakeStripe

FORGED = {
    "payment_direct": "yes",
    "payment_no": "PAY-OF-SOMEBODY-ELSE",
    "refund_no": "REF-OF-SOMEBODY-ELSE",
    "payment_environment": "live",
    metadata.DIRECT: "yes",
    metadata.PAYMENT_NO: "PAY-OF-SOMEBODY-ELSE",
    metadata.ENVIRONMENT: "live",
}


@pytest.mark.django_db(transaction=True, databases=["default", "simulator"])
def test_metadata_of_a_merchant_never_replaces_our_entries(
    fake: FakeStripe, client: SignedClient, acme: NewMerchant
) -> None:
    payment = data(create(client, channel="stripe", metadata=FORGED))
    session = fake.sessions[payment["channel_trade_no"]]
    assert session["metadata"] == {
        **{name: value for name, value in FORGED.items() if not name.startswith(metadata.PREFIX)},
        metadata.PAYMENT_NO: payment["payment_no"],
        metadata.MERCHANT_ID: str(acme.merchant.id),
        metadata.ORDER_NO: payment["order_no"],
        metadata.ENVIRONMENT: "test",
    }
    # A declined card does not end a payment with a page. Only our own entry says that there is no page.
    assert not fake.pay_session(session["id"], DECLINED_CARD)
    (intent_id,) = [i for i in fake.intents if fake.get_intent(i)["metadata"] == session["metadata"]]
    failed = build_event("payment_intent.payment_failed", fake.get_intent(intent_id))
    # The declined card is recorded (ADR 18), and another card may be tried.
    assert data(send(failed))["effect"] == "applied"
    assert data(send(failed))["effect"] == "nothing_new"
    now = get_payment(client, payment)
    assert (now["status"], now["failure_code"]) == ("pending", "card_declined")


@pytest.mark.parametrize("saved_card", [False, True])
def test_a_list_tells_whose_a_payment_is(fake: FakeStripe, *, saved_card: bool) -> None:
    harness = StripeHarness(fake, saved_card=saved_card)
    known = replace(harness.build_creation(), merchant_id="m-1", order_no="A-1")
    unknown = harness.build_creation()
    for request in (known, unknown):
        assert isinstance(harness.channel.create_payment(request), Reported)
    now = dt.datetime.now(dt.UTC)
    around = ListingWindow(known.account, now - dt.timedelta(days=1), now + dt.timedelta(days=1), 30.0)
    found = {each.value.reference: each.origin for each in harness.channel.list_payments(around)}
    assert (found[known.reference], found[unknown.reference]) == (PaymentOrigin("m-1", "A-1"), None)


def test_a_refund_without_livemode_is_read(fake: FakeStripe) -> None:
    harness = StripeHarness(fake, saved_card=False)
    request = harness.build_creation()
    refund = build_refund(request, create_paid(harness, request), 3_000)
    given = harness.channel.refund_payment(refund)
    assert isinstance(given, Reported)
    assert "livemode" not in fake.refunds[given.value.channel_refund_no]
    assert given.value.reference == refund.reference
    assert harness.channel.find_refund(RefundRef(refund.reference, refund.payment)) == given


def test_an_object_of_the_other_environment_has_no_reference(fake: FakeStripe) -> None:
    harness = StripeHarness(fake, saved_card=False)
    request = harness.build_creation()
    payment = create_open(harness, request)
    fake.sessions[payment.channel_trade_no]["metadata"][metadata.ENVIRONMENT] = "live"
    found = harness.channel.find_payment(build_ref(request, payment.channel_trade_no))
    assert isinstance(found, Reported)
    assert (found.value.reference, found.value.state) == ("", PaymentState.OPEN)


def test_entries_that_stripe_refuses_are_left_out() -> None:
    theirs = {
        "": "no name",
        "n" * 41: "too long a name",
        "a[b]": "square brackets",
        "empty": "",
        "long": "x" * 501,
        **{f"name {number}": "kept" for number in range(60)},
    }
    labels = metadata.build_metadata(theirs, {metadata.PAYMENT_NO: "PAY-1"}, "test")
    assert len(labels) == 50
    assert labels["long"] == "x" * 500
    assert (labels[metadata.PAYMENT_NO], labels[metadata.ENVIRONMENT]) == ("PAY-1", "test")
    assert not {"", "n" * 41, "a[b]", "empty"} & set(labels)
    assert all(
        len(name) <= 40
        for name in (metadata.PAYMENT_NO, metadata.REFUND_NO, metadata.ENVIRONMENT, metadata.DIRECT)
    )
