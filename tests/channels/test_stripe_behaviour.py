"""What Stripe does with payments over the API, and what becomes of ours: saved cards, 3-D Secure, slow ways to pay,
pages that end, amounts that Stripe cannot take."""

import datetime as dt
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
from sagas.models import SagaInstance
from tests.channels.rigs import StripeRig, ref_of, refund_of
from tests.channels.rigs import opened as opened_by_channel
from tests.support import background
from tests.support.auditing import _audited  # noqa: F401
from tests.support.polling import poll_due
from tests.support.shop import cancel, capture, create, data, error, get_payment, opened, sync
from tests.support.signing import SignedClient
from tests.support.stripe.events import send
from tests.support.stripe.fake import CHALLENGED_CARD, DECLINED_CARD, SLOW_DEBIT, VISA, FakeStripe

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


def saved_card(client: SignedClient, card: str, **changes: Any) -> Any:
    return create(client, channel="stripe", metadata={"stripe_payment_method": card}, **changes)


def deliver(fake: FakeStripe, *kinds: str, backwards: bool = False) -> list[str]:
    """Stripe's events of these kinds, or all of them, reach us."""
    told = [each for each in fake.take_events() if not kinds or each["type"] in kinds]
    return [data(send(each))["effect"] for each in (reversed(told) if backwards else told)]


def intent_of(fake: FakeStripe, payment: dict[str, Any]) -> str:
    trade_no = payment["channel_trade_no"]
    return trade_no if trade_no.startswith("pi_") else fake.sessions[trade_no]["payment_intent"]


class TestSavedCards:
    def test_it_pays_at_once(self, fake: FakeStripe, client: SignedClient) -> None:
        payment = data(saved_card(client, VISA))
        assert (payment["status"], payment["captured_amount"]) == ("succeeded", 10_000)

    @pytest.mark.parametrize("passed", [True, False])
    def test_a_challenge_has_a_page_and_an_end(
        self, fake: FakeStripe, client: SignedClient, passed: bool
    ) -> None:
        payment = data(saved_card(client, CHALLENGED_CARD, return_url="https://shop.example/thanks"))
        assert payment["status"] == "pending"
        intent = fake.intent(payment["channel_trade_no"])
        assert payment["payment_url"] == intent["next_action"]["redirect_to_url"]["url"]
        assert intent["next_action"]["redirect_to_url"]["return_url"] == "https://shop.example/thanks"
        fake.answer_challenge(intent["id"], passed=passed)
        deliver(fake)
        now = get_payment(client, payment)
        assert now["status"] == ("succeeded" if passed else "failed")
        assert now["failure_code"] == (None if passed else "payment_intent_authentication_failure")

    def test_a_challenge_that_is_left_ends_with_a_cancel(
        self, fake: FakeStripe, client: SignedClient
    ) -> None:
        payment = data(saved_card(client, CHALLENGED_CARD))
        assert data(cancel(client, payment))["status"] == "cancelled"
        assert fake.intent(payment["channel_trade_no"])["status"] == "canceled"

    def test_a_card_that_does_not_exist_is_no_decline(self, fake: FakeStripe, client: SignedClient) -> None:
        error(saved_card(client, "pm_of_nobody"), 502, "channel_request_invalid")


class TestSlowWaysToPay:
    @pytest.fixture
    def payment(self, fake: FakeStripe, client: SignedClient) -> dict[str, Any]:
        payment = opened(client, channel="stripe")
        fake.pay(payment["channel_trade_no"], SLOW_DEBIT)
        deliver(fake)
        assert get_payment(client, payment)["status"] == "processing"
        return payment

    def test_it_succeeds_days_later(
        self, fake: FakeStripe, client: SignedClient, payment: dict[str, Any]
    ) -> None:
        fake.decide(payment["channel_trade_no"], is_paid=True)
        assert "applied" in deliver(fake, "checkout.session.async_payment_succeeded")
        assert get_payment(client, payment)["captured_amount"] == 10_000

    @pytest.mark.parametrize(
        "kind", ["checkout.session.async_payment_failed", "payment_intent.payment_failed"]
    )
    def test_its_failure_has_effect_at_once(
        self, fake: FakeStripe, client: SignedClient, payment: dict[str, Any], kind: str
    ) -> None:
        fake.decide(payment["channel_trade_no"], is_paid=False)
        deliver(fake, kind)
        poll_due()
        assert get_payment(client, payment)["status"] == "failed"

    def test_an_earlier_decline_on_its_page_that_arrives_late_ends_nothing(
        self, fake: FakeStripe, client: SignedClient
    ) -> None:
        payment = opened(client, channel="stripe")
        fake.pay(payment["channel_trade_no"], DECLINED_CARD)
        fake.pay(payment["channel_trade_no"], SLOW_DEBIT)
        deliver(fake, backwards=True)
        poll_due()
        assert get_payment(client, payment)["status"] == "processing"
        fake.decide(payment["channel_trade_no"], is_paid=True)
        deliver(fake)
        assert get_payment(client, payment)["status"] == "succeeded"


class TestPagesThatEnd:
    @pytest.mark.parametrize("backwards", [False, True])
    @pytest.mark.parametrize("tried", [False, True])
    def test_it_expired_whichever_event_comes_first(
        self, fake: FakeStripe, client: SignedClient, tried: bool, backwards: bool
    ) -> None:
        payment = opened(client, channel="stripe")
        if tried:
            fake.pay(payment["channel_trade_no"], DECLINED_CARD)
            told = fake.take_events()
            effects = {event["type"]: data(send(event))["effect"] for event in told}
            # Only the refused card is news: the payment says so, and waits for another one (ADR 18).
            assert effects.pop("payment_intent.payment_failed") == "applied"
            assert set(effects.values()) <= {"nothing_new"}
            now = get_payment(client, payment)
            assert (now["status"], now["failure_code"]) == ("pending", "card_declined")
        fake.take_events()
        fake.pass_time(24 * 3600)
        deliver(fake, backwards=backwards)
        now = get_payment(client, payment)
        assert (now["status"], now["failure_code"]) == ("expired", "expired")

    def test_a_hold_that_is_released_is_cancelled(self, fake: FakeStripe, client: SignedClient) -> None:
        payment = opened(client, channel="stripe", capture_method="manual")
        fake.pay(payment["channel_trade_no"])
        deliver(fake)
        assert get_payment(client, payment)["status"] == "authorized"
        assert data(cancel(client, payment))["status"] == "cancelled"
        assert fake.intent(intent_of(fake, payment))["status"] == "canceled"
        deliver(fake)
        assert get_payment(client, payment)["status"] == "cancelled"

    def test_no_hold_is_left_standing_by_a_cancel_that_comes_late(
        self, fake: FakeStripe, client: SignedClient
    ) -> None:
        """The page was open when we asked, and paid when we closed it: the same cancel then releases the hold."""
        payment = opened(client, channel="stripe", capture_method="manual")
        fake.before("POST /v1/checkout/sessions/.*/expire", lambda: fake.pay(payment["channel_trade_no"]))
        cancel(client, payment)
        background.finish()
        assert get_payment(client, payment)["status"] == "cancelled"
        assert fake.intent(intent_of(fake, payment))["status"] == "canceled"


class TestAmountsInTens:
    """Stripe takes three-decimal currencies in steps of ten (docs.stripe.com/currencies)."""

    def test_a_capture_is_refused_before_anything_happens(
        self, fake: FakeStripe, client: SignedClient
    ) -> None:
        payment = self._held(fake, client)
        refused = capture(client, payment, amount=995)
        assert refused.status_code in (402, 422), refused.content
        assert not [request for request in fake.seen if request.endswith("/capture")]
        assert not SagaInstance.objects.filter(needs_attention=True).exists()
        assert data(capture(client, payment, amount=990))["captured_amount"] == 990

    def test_and_can_be_cancelled_afterwards(self, fake: FakeStripe, client: SignedClient) -> None:
        payment = self._held(fake, client)
        assert capture(client, payment, amount=995).status_code in (402, 422)
        assert data(cancel(client, payment))["status"] == "cancelled"

    def _held(self, fake: FakeStripe, client: SignedClient) -> dict[str, Any]:
        payment = opened(client, channel="stripe", capture_method="manual", currency="KWD", amount=1_000)
        fake.pay(payment["channel_trade_no"])
        return data(sync(client, payment))


def test_a_payment_below_stripes_minimum_says_so(fake: FakeStripe, client: SignedClient) -> None:
    declined = error(create(client, channel="stripe", amount=49), 402, "payment_declined")
    assert declined["failure_code"] == "amount_too_small"


class TestALostChargeOfLongAgo:
    """Sent again hours after its payment began, and its answer lost: in no list of that time, and no key lives."""

    @pytest.mark.parametrize("has_search", [True, False])
    def test_it_is_found(self, fake: FakeStripe, has_search: bool) -> None:
        fake.account.has_search = has_search
        long_ago = dt.datetime.now(dt.UTC) - dt.timedelta(days=2)
        rig = StripeRig(fake, saved_card=True)
        request = replace(rig.creation(loses="answer"), started_at=long_ago)
        assert isinstance(rig.channel.create_payment(request), UnknownOutcome)
        fake.account.search_lags = False
        found = rig.channel.find_payment(ref_of(request))
        assert isinstance(found, Reported)
        assert found.value.captured_minor == 10_000

    @pytest.mark.parametrize("has_search", [True, False])
    def test_and_is_missing_only_when_that_is_certain(
        self, fake: FakeStripe, has_search: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fake.account.has_search = has_search
        rig = StripeRig(fake, saved_card=True)
        request = replace(rig.creation(), started_at=dt.datetime.now(dt.UTC) - dt.timedelta(days=2))
        assert rig.channel.find_payment(ref_of(request)) == NotFoundAtChannel()
        if not has_search:
            opened_by_channel(rig, rig.creation())
            monkeypatch.setattr(lookup, "MAX_LISTED", 0)
            assert isinstance(rig.channel.find_payment(ref_of(request)), UnknownOutcome)

    def test_what_cannot_be_looked_through_is_neither_missing_nor_declined(
        self, fake: FakeStripe, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rig = StripeRig(fake, saved_card=True)
        request = rig.creation()
        payment = opened_by_channel(rig, request)
        refund = replace(refund_of(request, payment, 100), payment=ref_of(request))
        monkeypatch.setattr(lookup, "MAX_LISTED", 0)
        answers = [
            rig.channel.refund_payment(refund),
            rig.channel.find_refund(RefundRef(refund.reference, refund.payment)),
            rig.channel.cancel_payment(CancelPayment("cancel", refund.payment)),
            rig.channel.capture_payment(CapturePayment("capture", refund.payment, 100)),
        ]
        assert [type(answer) for answer in answers] == [UnknownOutcome] * 4
