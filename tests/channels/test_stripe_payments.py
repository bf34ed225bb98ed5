"""Payments over the API at Stripe: saved cards, 3-D Secure, slow payment methods, pages that end, and amounts that
Stripe cannot take."""

import datetime as dt
import uuid
from dataclasses import replace
from typing import Any

import pytest

from channels.base import (
    CancelPayment,
    CapturePayment,
    NotFoundAtChannel,
    RefundRef,
    Reported,
    UnknownOutcome,
)
from channels.stripe import lookup
from gateway.services import expiry
from sagas.models import SagaInstance
from tests.channels.harness import StripeHarness, build_creation, build_ref, build_refund, create_open
from tests.support import background
from tests.support.auditing import _audited  # noqa: F401
from tests.support.polling import poll_due
from tests.support.shop import cancel, capture, create, data, error, get_payment, opened, sync
from tests.support.signing import SignedClient
from tests.support.stripe.events import send
from tests.support.stripe.fake import CHALLENGED_CARD, DECLINED_CARD, SLOW_DEBIT, VISA, VOUCHER, FakeStripe

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


def saved_card(client: SignedClient, card: str, **changes: Any) -> Any:
    return create(client, channel="stripe", metadata={"stripe_payment_method": card}, **changes)


def deliver(fake: FakeStripe, *kinds: str, backwards: bool = False) -> list[str]:
    """Delivers Stripe's events of these kinds, or all of them."""
    events = [each for each in fake.take_events() if not kinds or each["type"] in kinds]
    return [data(send(each))["effect"] for each in (reversed(events) if backwards else events)]


def intent_of(fake: FakeStripe, payment: dict[str, Any]) -> str:
    trade_no = payment["channel_trade_no"]
    return trade_no if trade_no.startswith("pi_") else fake.sessions[trade_no]["payment_intent"]


class TestSavedCards:
    def test_a_saved_card_is_charged_at_once(self, fake: FakeStripe, client: SignedClient) -> None:
        payment = data(saved_card(client, VISA))
        assert (payment["status"], payment["captured_amount"]) == ("succeeded", 10_000)

    @pytest.mark.parametrize("passed", [True, False])
    def test_a_3d_secure_challenge_has_a_page_and_an_outcome(
        self, fake: FakeStripe, client: SignedClient, passed: bool
    ) -> None:
        payment = data(saved_card(client, CHALLENGED_CARD, return_url="https://shop.example/thanks"))
        assert payment["status"] == "pending"
        intent = fake.get_intent(payment["channel_trade_no"])
        assert payment["payment_url"] == intent["next_action"]["redirect_to_url"]["url"]
        assert intent["next_action"]["redirect_to_url"]["return_url"] == "https://shop.example/thanks"
        fake.complete_3d_secure(intent["id"], passed=passed)
        deliver(fake)
        now = get_payment(client, payment)
        assert now["status"] == ("succeeded" if passed else "failed")
        assert now["failure_code"] == (None if passed else "payment_intent_authentication_failure")

    def test_a_challenge_that_is_not_completed_can_be_cancelled(
        self, fake: FakeStripe, client: SignedClient
    ) -> None:
        payment = data(saved_card(client, CHALLENGED_CARD))
        assert data(cancel(client, payment))["status"] == "cancelled"
        assert fake.get_intent(payment["channel_trade_no"])["status"] == "canceled"

    def test_no_merchant_charges_a_customer_of_the_shared_account(
        self, fake: FakeStripe, client: SignedClient
    ) -> None:
        known = set(fake.intents)  # of other tests
        metadata = {"stripe_payment_method": VISA, "stripe_customer": "cus_fake"}
        details = error(create(client, channel="stripe", metadata=metadata), 402, "payment_declined")
        assert details["failure_code"] == "saved_customer_unavailable"
        assert set(fake.intents) == known

    def test_a_merchant_charges_customers_of_its_own_account(self, fake: FakeStripe) -> None:
        harness = StripeHarness(fake, saved_card=True)
        own = replace(harness.account, id=uuid.uuid4())
        metadata = {"stripe_payment_method": VISA, "stripe_customer": "cus_fake"}
        created = harness.channel.create_payment(build_creation(account=own, metadata=metadata))
        assert isinstance(created, Reported)
        assert fake.get_intent(created.value.channel_trade_no)["customer"] == "cus_fake"

    def test_a_card_that_does_not_exist_is_not_a_decline(
        self, fake: FakeStripe, client: SignedClient
    ) -> None:
        error(saved_card(client, "pm_of_nobody"), 502, "channel_request_invalid")


class TestSlowPaymentMethods:
    @pytest.fixture
    def payment(self, fake: FakeStripe, client: SignedClient) -> dict[str, Any]:
        payment = opened(client, channel="stripe")
        fake.pay_session(payment["channel_trade_no"], SLOW_DEBIT)
        deliver(fake)
        assert get_payment(client, payment)["status"] == "processing"
        return payment

    def test_a_slow_payment_succeeds_days_later(
        self, fake: FakeStripe, client: SignedClient, payment: dict[str, Any]
    ) -> None:
        fake.decide_payment(payment["channel_trade_no"], is_paid=True)
        assert "applied" in deliver(fake, "checkout.session.async_payment_succeeded")
        assert get_payment(client, payment)["captured_amount"] == 10_000

    @pytest.mark.parametrize(
        "kind", ["checkout.session.async_payment_failed", "payment_intent.payment_failed"]
    )
    def test_the_failure_of_a_slow_payment_is_applied_at_once(
        self, fake: FakeStripe, client: SignedClient, payment: dict[str, Any], kind: str
    ) -> None:
        fake.decide_payment(payment["channel_trade_no"], is_paid=False)
        deliver(fake, kind)
        poll_due()
        assert get_payment(client, payment)["status"] == "failed"

    def test_a_late_event_about_a_declined_card_does_not_end_the_payment(
        self, fake: FakeStripe, client: SignedClient
    ) -> None:
        payment = opened(client, channel="stripe")
        fake.pay_session(payment["channel_trade_no"], DECLINED_CARD)
        fake.pay_session(payment["channel_trade_no"], SLOW_DEBIT)
        deliver(fake, backwards=True)
        poll_due()
        assert get_payment(client, payment)["status"] == "processing"
        fake.decide_payment(payment["channel_trade_no"], is_paid=True)
        deliver(fake)
        assert get_payment(client, payment)["status"] == "succeeded"


class TestVouchers:
    """The page is complete, and its PaymentIntent requires an action until the customer pays at a store
    (docs.stripe.com/payments/oxxo/accept-a-payment)."""

    @pytest.fixture
    def payment(self, fake: FakeStripe, client: SignedClient) -> dict[str, Any]:
        payment = opened(client, channel="stripe", currency="MXN")
        assert fake.pay_session(payment["channel_trade_no"], VOUCHER)
        return payment

    @pytest.mark.parametrize("by", ["webhook", "query"])
    def test_a_voucher_is_waited_for(
        self, fake: FakeStripe, client: SignedClient, payment: dict[str, Any], by: str
    ) -> None:
        if by == "webhook":
            deliver(fake)
        assert data(sync(client, payment))["status"] == "processing"
        error(cancel(client, payment), 409, "payment_not_cancellable")
        background.expire_payment(payment["payment_no"])
        expiry.expire_due_payments(environment="test")
        background.finish()
        assert get_payment(client, payment)["status"] == "processing", (
            "the customer can still pay the voucher"
        )
        fake.decide_payment(payment["channel_trade_no"], is_paid=True)
        if by == "webhook":
            deliver(fake)
        now = data(sync(client, payment))
        assert (now["status"], now["captured_amount"]) == ("succeeded", 10_000)
        assert fake.get_amounts(payment["payment_no"]) == (10_000, 0)

    @pytest.mark.parametrize("by", ["webhook", "query"])
    def test_a_voucher_that_expires_fails_the_payment(
        self, fake: FakeStripe, client: SignedClient, payment: dict[str, Any], by: str
    ) -> None:
        fake.decide_payment(payment["channel_trade_no"], is_paid=False)
        if by == "webhook":
            deliver(fake)
            poll_due()
        else:
            sync(client, payment)
        assert get_payment(client, payment)["status"] == "failed"


class TestPagesThatEnd:
    @pytest.mark.parametrize("backwards", [False, True])
    @pytest.mark.parametrize("tried", [False, True])
    def test_the_payment_is_expired_whichever_event_comes_first(
        self, fake: FakeStripe, client: SignedClient, tried: bool, backwards: bool
    ) -> None:
        payment = opened(client, channel="stripe")
        if tried:
            fake.pay_session(payment["channel_trade_no"], DECLINED_CARD)
            events = fake.take_events()
            effects = {event["type"]: data(send(event))["effect"] for event in events}
            # Only the declined card changes something: the payment shows it and waits for another card (ADR 18).
            assert effects.pop("payment_intent.payment_failed") == "applied"
            assert set(effects.values()) <= {"nothing_new"}
            now = get_payment(client, payment)
            assert (now["status"], now["failure_code"]) == ("pending", "card_declined")
        fake.take_events()
        fake.advance_clock(24 * 3600)
        deliver(fake, backwards=backwards)
        now = get_payment(client, payment)
        assert (now["status"], now["failure_code"]) == ("expired", "expired")

    def test_a_released_authorization_is_cancelled(self, fake: FakeStripe, client: SignedClient) -> None:
        payment = opened(client, channel="stripe", capture_method="manual")
        fake.pay_session(payment["channel_trade_no"])
        deliver(fake)
        assert get_payment(client, payment)["status"] == "authorized"
        assert data(cancel(client, payment))["status"] == "cancelled"
        assert fake.get_intent(intent_of(fake, payment))["status"] == "canceled"
        deliver(fake)
        assert get_payment(client, payment)["status"] == "cancelled"

    def test_a_late_cancel_releases_the_authorization(self, fake: FakeStripe, client: SignedClient) -> None:
        """The page was open when queried and paid when expired: the cancel then releases the authorization."""
        payment = opened(client, channel="stripe", capture_method="manual")
        fake.run_before(
            "POST /v1/checkout/sessions/.*/expire", lambda: fake.pay_session(payment["channel_trade_no"])
        )
        cancel(client, payment)
        background.finish()
        assert get_payment(client, payment)["status"] == "cancelled"
        assert fake.get_intent(intent_of(fake, payment))["status"] == "canceled"


class TestAmountsInTens:
    """Stripe takes three-decimal currencies in steps of ten (docs.stripe.com/currencies)."""

    def test_a_capture_of_an_impossible_amount_is_refused_before_the_call(
        self, fake: FakeStripe, client: SignedClient
    ) -> None:
        payment = self._held(fake, client)
        refused = capture(client, payment, amount=995)
        assert refused.status_code in (402, 422), refused.content
        assert not [request for request in fake.requests_seen if request.endswith("/capture")]
        assert not SagaInstance.objects.filter(needs_attention=True).exists()
        assert data(capture(client, payment, amount=990))["captured_amount"] == 990

    def test_a_payment_with_a_refused_capture_can_be_cancelled(
        self, fake: FakeStripe, client: SignedClient
    ) -> None:
        payment = self._held(fake, client)
        assert capture(client, payment, amount=995).status_code in (402, 422)
        assert data(cancel(client, payment))["status"] == "cancelled"

    def _held(self, fake: FakeStripe, client: SignedClient) -> dict[str, Any]:
        payment = opened(client, channel="stripe", capture_method="manual", currency="KWD", amount=1_000)
        fake.pay_session(payment["channel_trade_no"])
        return data(sync(client, payment))


def test_a_payment_below_the_minimum_of_stripe_is_declined(fake: FakeStripe, client: SignedClient) -> None:
    declined = error(create(client, channel="stripe", amount=49), 402, "payment_declined")
    assert declined["failure_code"] == "amount_too_small"


class TestOldLostCharges:
    """The charge was sent again hours after its payment started, and its answer was lost: no list of that time has it,
    and Stripe has forgotten its key."""

    @pytest.mark.parametrize("has_search", [True, False])
    def test_an_old_lost_charge_is_found_by_search(self, fake: FakeStripe, has_search: bool) -> None:
        fake.account.has_search = has_search
        long_ago = dt.datetime.now(dt.UTC) - dt.timedelta(days=2)
        harness = StripeHarness(fake, saved_card=True)
        request = replace(harness.build_creation(loses="answer"), started_at=long_ago)
        assert isinstance(harness.channel.create_payment(request), UnknownOutcome)
        fake.account.search_lags = False
        found = harness.channel.find_payment(build_ref(request))
        assert isinstance(found, Reported)
        assert found.value.captured_minor == 10_000

    @pytest.mark.parametrize("has_search", [True, False])
    def test_a_charge_is_not_found_only_when_that_is_certain(
        self, fake: FakeStripe, has_search: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fake.account.has_search = has_search
        harness = StripeHarness(fake, saved_card=True)
        request = replace(harness.build_creation(), started_at=dt.datetime.now(dt.UTC) - dt.timedelta(days=2))
        assert harness.channel.find_payment(build_ref(request)) == NotFoundAtChannel()
        if not has_search:
            create_open(harness, harness.build_creation())
            monkeypatch.setattr(lookup, "MAX_LISTED", 0)
            assert isinstance(harness.channel.find_payment(build_ref(request)), UnknownOutcome)

    def test_a_list_that_is_too_long_is_an_unknown_outcome(
        self, fake: FakeStripe, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        harness = StripeHarness(fake, saved_card=True)
        request = harness.build_creation()
        payment = create_open(harness, request)
        refund = replace(build_refund(request, payment, 100), payment=build_ref(request))
        monkeypatch.setattr(lookup, "MAX_LISTED", 0)
        answers = [
            harness.channel.refund_payment(refund),
            harness.channel.find_refund(RefundRef(refund.reference, refund.payment)),
            harness.channel.cancel_payment(CancelPayment("cancel", refund.payment)),
            harness.channel.capture_payment(CapturePayment("capture", refund.payment, 100)),
        ]
        assert [type(answer) for answer in answers] == [UnknownOutcome] * 4
