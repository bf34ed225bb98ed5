"""Multicapture and incremental authorization at Stripe (docs.stripe.com/payments/multicapture,
docs.stripe.com/payments/incremental-authorization)."""

from typing import Any

import pytest

from channels.base import CapturePayment, Declined, PaymentRef, Reported
from channels.registry import get_platform_account
from channels.stripe.channel import StripeChannel
from channels.stripe.metadata import PAYMENT_NO
from tests.support import background
from tests.support.auditing import _audited  # noqa: F401
from tests.support.polling import poll_due
from tests.support.shop import (
    Body,
    cancel,
    capture,
    create,
    data,
    error,
    get_payment,
    increment,
    new_no,
    refund,
)
from tests.support.signing import SignedClient
from tests.support.stripe.events import send
from tests.support.stripe.fake import INCREMENTAL_CARD, VISA, FakeStripe, Fault

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

MULTICAPTURE, INCREMENTS = "request_multicapture", "request_incremental_authorization"


def hold(
    fake: FakeStripe,
    client: SignedClient,
    feature: str = MULTICAPTURE,
    *,
    card: str = VISA,
    page: bool = True,
) -> Body:
    options = {feature: "if_available"} if feature else {}
    metadata = {} if page else {"stripe_payment_method": card}
    answer = create(
        client, channel="stripe", capture_method="manual", payment_method_options=options, metadata=metadata
    )
    payment = data(answer)
    if page:
        assert fake.pay_session(payment["channel_trade_no"], card)
        poll(client, payment)
    return get_payment(client, payment)


def poll(client: SignedClient, payment: Body) -> Body:
    background.make_checks_due()
    poll_due()
    shown: Body = get_payment(client, payment)
    return shown


def amounts_of(payment: Body) -> tuple[str, int, int]:
    return payment["status"], payment["captured_amount"], payment["capturable_amount"]


def intent_of(fake: FakeStripe, payment: Body) -> dict[str, Any]:
    ours = [
        each for each in fake.intents.values() if each["metadata"].get(PAYMENT_NO) == payment["payment_no"]
    ]
    (intent,) = ours
    return intent


@pytest.mark.parametrize("page", [True, False])
def test_the_last_capture_releases_the_rest(fake: FakeStripe, client: SignedClient, page: bool) -> None:
    payment = hold(fake, client, page=page)
    first = data(capture(client, payment, amount=7_000, final_capture=False))
    assert amounts_of(first) == ("authorized", 7_000, 3_000)
    assert amounts_of(data(capture(client, payment, amount=2_000))) == ("succeeded", 9_000, 0)
    assert fake.get_amounts(payment["payment_no"]) == (9_000, 0)


def test_a_payment_that_did_not_request_it_is_captured_once(fake: FakeStripe, client: SignedClient) -> None:
    payment = hold(fake, client, feature="")
    details = error(capture(client, payment, amount=7_000, final_capture=False), 402, "capture_declined")
    assert details["failure_code"] == "multicapture_unavailable"
    assert amounts_of(get_payment(client, payment)) == ("authorized", 0, 10_000)
    assert amounts_of(data(capture(client, payment, amount=7_000))) == ("succeeded", 7_000, 0)


def test_the_value_of_a_feature_is_checked_before_the_call(fake: FakeStripe, client: SignedClient) -> None:
    answer = create(
        client, channel="stripe", capture_method="manual", payment_method_options={MULTICAPTURE: "always"}
    )
    details = error(answer, 400, "validation_failed")
    assert f"payment_method_options.{MULTICAPTURE}" in details
    assert fake.requests_seen == []


@pytest.mark.parametrize(
    "fault",
    [Fault.LOSE_REQUEST, Fault.LOSE_ANSWER, Fault.REPEAT, Fault.DELAY, Fault.FAIL_BEFORE, Fault.FAIL_AFTER],
)
def test_a_lost_capture_is_made_once(fake: FakeStripe, client: SignedClient, fault: Fault) -> None:
    payment, key = hold(fake, client), new_no("key")
    fake.plan_fault(fault, "POST /v1/payment_intents/.*/capture")
    capture(client, payment, amount=4_000, final_capture=False, key=key)
    background.finish()
    fake.deliver_delayed_requests()
    background.finish()
    answer = data(capture(client, payment, amount=4_000, final_capture=False, key=key))
    assert amounts_of(answer) == ("authorized", 4_000, 6_000)
    assert fake.get_amounts(payment["payment_no"]) == (4_000, 0)


def test_a_cancellation_releases_the_rest(fake: FakeStripe, client: SignedClient) -> None:
    payment = hold(fake, client)
    data(capture(client, payment, amount=4_000, final_capture=False))
    assert amounts_of(data(cancel(client, payment))) == ("succeeded", 4_000, 0)
    assert intent_of(fake, payment)["status"] == "succeeded"


def test_a_lapsed_authorization_keeps_its_captures(fake: FakeStripe, client: SignedClient) -> None:
    payment = hold(fake, client)
    data(capture(client, payment, amount=4_000, final_capture=False))
    fake.expire_authorization(intent_of(fake, payment)["id"])
    details = error(capture(client, payment, amount=1_000), 402, "capture_declined")
    assert details["failure_code"] == "authorization_gone"
    assert amounts_of(poll(client, payment)) == ("succeeded", 4_000, 0)


def test_captured_money_can_be_refunded_before_the_last_capture(
    fake: FakeStripe, client: SignedClient
) -> None:
    payment = hold(fake, client)
    data(capture(client, payment, amount=4_000, final_capture=False))
    error(refund(client, payment, 4_001), 422, "refund_exceeds_payment")
    data(refund(client, payment, 4_000))
    assert fake.get_amounts(payment["payment_no"]) == (4_000, 4_000)


def test_webhooks_of_captures_come_in_any_order(fake: FakeStripe, client: SignedClient) -> None:
    payment = hold(fake, client)
    fake.take_events()
    data(capture(client, payment, amount=4_000, final_capture=False))
    data(capture(client, payment, amount=1_000, final_capture=False))
    events = fake.take_events()
    for event in [*events[::-1], *events]:
        assert send(event).status_code == 200
    shown = get_payment(client, payment)
    assert amounts_of(shown) == ("authorized", 5_000, 5_000)
    assert len(shown["captures"]) == 2


def test_more_is_authorized(fake: FakeStripe, client: SignedClient) -> None:
    payment = hold(fake, client, INCREMENTS, card=INCREMENTAL_CARD)
    assert data(increment(client, payment, 15_000))["authorized_amount"] == 15_000
    assert amounts_of(poll(client, payment)) == ("authorized", 0, 15_000)
    assert amounts_of(data(capture(client, payment, amount=12_000))) == ("succeeded", 12_000, 0)


def test_a_payment_that_did_not_request_it_is_not_incremented(fake: FakeStripe, client: SignedClient) -> None:
    payment = hold(fake, client)
    details = error(increment(client, payment, 15_000), 402, "increment_declined")
    assert details["failure_code"] == "incremental_authorization_unavailable"
    assert intent_of(fake, payment)["amount"] == 10_000


def test_a_declined_increment_leaves_the_authorization(fake: FakeStripe, client: SignedClient) -> None:
    payment = hold(fake, client, INCREMENTS, card=INCREMENTAL_CARD)
    fake.account.declines_increments = True
    details = error(increment(client, payment, 15_000), 402, "increment_declined")
    assert (details["failure_code"], details["authorized_amount"]) == ("card_declined", 10_000)
    assert amounts_of(data(capture(client, payment))) == ("succeeded", 10_000, 0)


@pytest.mark.parametrize("fault", [Fault.LOSE_REQUEST, Fault.LOSE_ANSWER, Fault.DELAY, Fault.FAIL_BEFORE])
def test_a_lost_increment_is_made_once(fake: FakeStripe, client: SignedClient, fault: Fault) -> None:
    payment, key = hold(fake, client, INCREMENTS, card=INCREMENTAL_CARD), new_no("key")
    fake.plan_fault(fault, "POST /v1/payment_intents/.*/increment_authorization")
    increment(client, payment, 15_000, key=key)
    background.finish()
    fake.deliver_delayed_requests()
    background.finish()
    assert data(increment(client, payment, 15_000, key=key))["authorized_amount"] == 15_000
    assert intent_of(fake, payment)["amount"] == 15_000


def test_the_fake_refuses_as_stripe_does(fake: FakeStripe, client: SignedClient) -> None:
    """Without the channel's own check, the fake refuses a capture above the capturable amount."""
    payment = hold(fake, client)
    ref = PaymentRef(
        payment["payment_no"], get_platform_account("stripe", "test"), 10.0, payment["channel_trade_no"]
    )
    channel = StripeChannel()
    answer = channel.capture_payment(CapturePayment("a", ref, 7_000, is_final=False))
    assert isinstance(answer, Reported)
    refused = channel.capture_payment(
        CapturePayment("b", ref, 7_000, is_final=False, captured_before_minor=7_000)
    )
    assert isinstance(refused, Declined)
    assert refused.code == "amount_too_large"
