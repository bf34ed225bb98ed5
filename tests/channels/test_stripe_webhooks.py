"""Events from Stripe, events that are not ours, and requests that Stripe did not send."""

import json
import time

import pytest
import structlog

from gateway.models import ChannelEvent, Payment
from tests.channels.conftest import WEBHOOK_SECRETS
from tests.support.shop import create, data, error, get_payment, get_refund, opened, refund
from tests.support.signing import SignedClient
from tests.support.stripe.events import build_event, send, send_raw, sign
from tests.support.stripe.fake import FakeStripe

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "simulator"]),
    pytest.mark.usefixtures("_no_connection_in_calls"),
]

ACKNOWLEDGED = (
    "payment_intent.created",
    "payment_intent.requires_action",
    "payment_intent.partially_funded",
    "charge.succeeded",
    "charge.updated",
    "customer.created",
    "something.new_in_2030",
)


@pytest.fixture
def payment(fake: FakeStripe, client: SignedClient) -> dict:
    return opened(client, channel="stripe")


def session_of(fake: FakeStripe, payment: dict, **changes: object) -> dict:
    session = fake.sessions[payment["channel_trade_no"]]
    return {**{k: v for k, v in session.items() if not k.startswith("_")}, **changes}


def intent_of(fake: FakeStripe, payment: dict, **changes: object) -> dict:
    return {**fake.get_intent(fake.sessions[payment["channel_trade_no"]]["payment_intent"]), **changes}


def effect(answer) -> str:
    return data(answer)["effect"]


class TestPaymentEvents:
    def test_paid_on_the_page(self, fake: FakeStripe, client: SignedClient, payment: dict) -> None:
        fake.pay_session(payment["channel_trade_no"])
        event = build_event("checkout.session.completed", session_of(fake, payment))
        assert effect(send(event)) == "applied"
        assert effect(send(event)) == "nothing_new"
        assert (
            effect(send(build_event("payment_intent.succeeded", intent_of(fake, payment)))) == "nothing_new"
        )
        now = get_payment(client, payment)
        assert (now["status"], now["captured_amount"]) == ("succeeded", 10_000)

    def test_a_declined_card_leaves_the_page_open(
        self, fake: FakeStripe, client: SignedClient, payment: dict
    ) -> None:
        fake.pay_session(payment["channel_trade_no"])
        failed = intent_of(fake, payment, status="requires_payment_method", amount_received=0)
        assert effect(send(build_event("payment_intent.payment_failed", failed))) == "nothing_new"
        assert get_payment(client, payment)["status"] == "pending"

    def test_a_session_that_expires_at_stripe(
        self, fake: FakeStripe, client: SignedClient, payment: dict
    ) -> None:
        session = session_of(fake, payment, status="expired", url=None)
        assert effect(send(build_event("checkout.session.expired", session))) == "applied"
        assert get_payment(client, payment)["status"] == "expired"

    def test_an_authorized_payment_is_captured(self, fake: FakeStripe, client: SignedClient) -> None:
        payment = opened(client, channel="stripe", capture_method="manual")
        fake.pay_session(payment["channel_trade_no"])
        held = intent_of(fake, payment)
        assert effect(send(build_event("payment_intent.amount_capturable_updated", held))) == "applied"
        assert (
            effect(send(build_event("checkout.session.completed", session_of(fake, payment))))
            == "nothing_new"
        )
        assert get_payment(client, payment)["status"] == "authorized"

    def test_events_out_of_order_never_revert_a_status(
        self, fake: FakeStripe, client: SignedClient, payment: dict
    ) -> None:
        fake.pay_session(payment["channel_trade_no"])
        intent = intent_of(fake, payment)
        assert effect(send(build_event("payment_intent.succeeded", intent))) == "applied"
        earlier = {**intent, "status": "processing", "amount_received": 0}
        assert effect(send(build_event("payment_intent.processing", earlier))) == "nothing_new"
        gone = {**intent, "status": "canceled", "amount_received": 0}
        assert effect(send(build_event("payment_intent.canceled", gone))) == "nothing_new"
        assert get_payment(client, payment)["status"] == "succeeded"

    def test_a_refund_that_fails_later(self, fake: FakeStripe, client: SignedClient, payment: dict) -> None:
        fake.pay_session(payment["channel_trade_no"])
        send(build_event("checkout.session.completed", session_of(fake, payment)))
        fake.refund_status = "pending"
        given = data(refund(client, payment, 4_000))
        assert given["status"] == "processing"
        shape = {
            **fake.refunds[given["channel_refund_no"]],
            "status": "failed",
            "failure_reason": "lost_or_stolen_card",
        }
        assert effect(send(build_event("refund.failed", shape))) == "applied"
        now = get_refund(client, given)
        assert (now["status"], now["failure_code"]) == ("failed", "lost_or_stolen_card")
        assert get_payment(client, payment)["refundable_amount"] == 10_000


def test_an_event_of_another_api_version_is_logged_and_processed(
    fake: FakeStripe, client: SignedClient, payment: dict
) -> None:
    fake.pay_session(payment["channel_trade_no"])
    event = build_event("checkout.session.completed", session_of(fake, payment), api_version="2022-11-15")
    with structlog.testing.capture_logs() as logs:
        assert effect(send(event)) == "applied"
    (line,) = [each for each in logs if each["event"] == "stripe.event_of_another_version"]
    assert line["version"] == "2022-11-15"


class TestEventsThatAreNotOurs:
    @pytest.mark.parametrize("kind", ACKNOWLEDGED)
    def test_every_other_event_is_acknowledged(
        self, fake: FakeStripe, client: SignedClient, payment: dict, kind: str
    ) -> None:
        fake.pay_session(payment["channel_trade_no"])
        for subject in ({}, intent_of(fake, payment), session_of(fake, payment), {"metadata": None}):
            assert effect(send(build_event(kind, subject))) == "nothing_new"
        assert get_payment(client, payment)["status"] == "pending"

    def test_an_event_of_a_connected_account(
        self, fake: FakeStripe, client: SignedClient, payment: dict
    ) -> None:
        fake.pay_session(payment["channel_trade_no"])
        event = build_event("checkout.session.completed", session_of(fake, payment), account="acct_other")
        assert effect(send(event)) == "nothing_new"
        assert get_payment(client, payment)["status"] == "pending"

    def test_an_event_of_the_other_environment(
        self, fake: FakeStripe, client: SignedClient, payment: dict
    ) -> None:
        fake.pay_session(payment["channel_trade_no"])
        live = build_event(
            "checkout.session.completed", session_of(fake, payment, livemode=True), livemode=True
        )
        assert effect(send(live, secret="whsec_live")) == "nothing_new"
        error(send(live), 400, "webhook_rejected")
        assert get_payment(client, payment)["status"] == "pending"

    def test_an_event_without_our_number(self, fake: FakeStripe, payment: dict) -> None:
        fake.pay_session(payment["channel_trade_no"])
        assert (
            effect(send(build_event("payment_intent.succeeded", intent_of(fake, payment, metadata={}))))
            == "nothing_new"
        )

    @pytest.mark.parametrize("change", [{"amount_total": 9_999}, {"currency": "eur"}])
    def test_a_wrong_amount_needs_review(
        self, fake: FakeStripe, client: SignedClient, payment: dict, change: dict
    ) -> None:
        fake.pay_session(payment["channel_trade_no"])
        session = session_of(fake, payment, **change)
        assert effect(send(build_event("checkout.session.completed", session))) == "parked"
        row = Payment.objects.get(payment_no=payment["payment_no"])
        assert (row.status, row.captured_minor, row.needs_attention) == ("pending", 0, True)


class TestRequestsThatStripeDidNotSend:
    def test_only_signed_bytes_are_accepted(
        self, fake: FakeStripe, client: SignedClient, payment: dict
    ) -> None:
        fake.pay_session(payment["channel_trade_no"])
        event = build_event("checkout.session.completed", session_of(fake, payment))
        body = json.dumps(event).encode()
        good, now = sign(body), time.time()
        refused = [
            send_raw(body, None),
            send_raw(body, ""),
            send_raw(body, "nonsense"),
            send_raw(body, "t=,v1="),
            send_raw(body, "t=1=2,v1"),
            send_raw(body, good.replace("v1=", "v0=")),
            send_raw(body[:-1], good),
            send_raw(body + b" ", good),
            send_raw(json.dumps(event, indent=1).encode(), good),
            send_raw(body.decode().encode("utf-16"), good),
            send_raw(body, sign(body, secret="whsec_other")),
            send_raw(body, sign(body, at=now - 900)),
            send_raw(b"\xff\xfe", sign(b"\xff\xfe")),
            send_raw(b"[]", sign(b"[]")),
            send_raw(b"{", sign(b"{")),
            send({**event, "id": None}),
            send({**event, "data": {"object": {**event["data"]["object"], "status": "unheard of"}}}),
        ]
        for answer in refused:
            error(answer, 400, "webhook_rejected")
        assert not ChannelEvent.objects.exists()
        assert get_payment(client, payment)["status"] == "pending"

    def test_both_secrets_are_accepted_during_a_rotation(self, fake: FakeStripe, payment: dict) -> None:
        for secret in WEBHOOK_SECRETS:
            assert effect(send(build_event("customer.created", {}), secret=secret)) == "nothing_new"

    def test_a_body_that_is_too_large_is_refused(self, fake: FakeStripe) -> None:
        body = b'{"x": "' + b"a" * 2_000_000 + b'"}'
        assert send_raw(body, sign(body)).status_code == 413

    def test_without_a_secret_there_is_no_webhook_address(self, fake: FakeStripe, settings) -> None:
        settings.STRIPE_WEBHOOK_SECRETS = settings.STRIPE_CONNECT_WEBHOOK_SECRETS = {"test": [], "live": []}
        error(send(build_event("customer.created", {})), 404, "not_found")


def test_a_live_key_without_stripe_is_refused(live_client: SignedClient) -> None:
    error(create(live_client, channel="stripe"), 422, "channel_not_available")
