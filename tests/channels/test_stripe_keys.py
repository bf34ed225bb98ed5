"""What becomes of idempotency keys at Stripe, and of what they protect: an answer that is kept, a 500 included, keys
that are forgotten after a day, parameters that are bound to a key. One refund number never moves money twice."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F

from gateway.models import PaymentAttempt
from gateway.services import expiry
from sagas import operations
from sagas.models import SagaInstance, SagaStep
from tests.support import background
from tests.support.auditing import _audited  # noqa: F401
from tests.support.outage import breaker_of
from tests.support.shop import (
    cancel,
    capture,
    create,
    data,
    error,
    get_payment,
    get_refund,
    opened,
    refund,
    sync,
)
from tests.support.signing import SignedClient
from tests.support.stripe.fake import VISA, FakeStripe, Fault, fake_stripe

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

CREATE, CHARGE, REFUND = "POST /v1/checkout/sessions", "POST /v1/payment_intents", "POST /v1/refunds"
REFUNDS_OF = "GET /v1/refunds"
HOURS = 3600.0


@pytest.fixture
def fake(fake: FakeStripe, settings: Any) -> Iterator[FakeStripe]:
    """One of its own, whose clock may be moved."""
    with fake_stripe() as fresh:
        settings.STRIPE_API_BASE = fresh.url
        yield fresh
        assert fresh.broken == []


def paid(fake: FakeStripe, client: SignedClient) -> dict[str, Any]:
    payment = opened(client, channel="stripe")
    assert fake.pay(payment["channel_trade_no"])
    synced: dict[str, Any] = data(sync(client, payment))
    return synced


def given_back(fake: FakeStripe, payment: dict[str, Any]) -> int:
    return fake.effects(payment["payment_no"])[1]


def get_amount_step(business_id: str, name: str) -> SagaStep:
    return SagaStep.objects.get(saga__business_id=business_id, step_name=name)


class TestRefunds:
    def test_a_stored_500_is_overcome_by_a_new_key(self, fake: FakeStripe, client: SignedClient) -> None:
        payment = paid(fake, client)
        fake.plan(Fault.FAIL_BEFORE, REFUND)
        accepted = data(refund(client, payment, 4_000), 202)
        background.finish()
        assert get_refund(client, accepted)["status"] == "succeeded"
        assert given_back(fake, payment) == 4_000
        assert get_amount_step(accepted["refund_no"], "CallChannelRefund").call_number == 2
        assert fake.seen.count(REFUND) == 3, "the 500, its replay, and the call with the new key"

    def test_a_stored_500_of_a_refund_that_was_made_is_taken_over(
        self, fake: FakeStripe, client: SignedClient
    ) -> None:
        payment = paid(fake, client)
        fake.plan(Fault.FAIL_AFTER, REFUND)
        accepted = data(refund(client, payment, 4_000), 202)
        background.finish()
        assert get_refund(client, accepted)["status"] == "succeeded"
        assert given_back(fake, payment) == 4_000
        assert fake.seen.count(REFUND) == 1

    def test_replays_say_nothing_about_the_channel(
        self, fake: FakeStripe, client: SignedClient, settings: Any
    ) -> None:
        """Two refunds with a stored 500 each: two faults of the channel, and none for their replays."""
        settings.CHANNEL_BREAKER_FAULTS = 3
        payment = paid(fake, client)
        for _refund in range(2):
            fake.plan(Fault.FAIL_BEFORE, REFUND)
            data(refund(client, payment, 100), 202)
        assert breaker_of("stripe").faults == 2
        background.finish()
        assert breaker_of("stripe").phase == "closed"
        assert breaker_of("stripe").faults <= 2
        assert given_back(fake, payment) == 200

    def test_a_channel_that_fails_under_every_key_ends_the_refund(
        self, fake: FakeStripe, client: SignedClient, settings: Any
    ) -> None:
        """Certainly nothing went back: the refund fails, its amount is free again, and nobody has to look."""
        settings.CHANNEL_BREAKER_FAULTS = 1000
        payment = paid(fake, client)
        for _key in range(20):
            fake.plan(Fault.FAIL_BEFORE, REFUND)
        accepted = data(refund(client, payment, 4_000), 202)
        background.finish()
        now = get_refund(client, accepted)
        assert (now["status"], now["failure_code"]) == ("failed", "retries_exhausted")
        assert given_back(fake, payment) == get_payment(client, payment)["refunded_amount"] == 0
        fake.faults.clear()
        data(refund(client, payment, 10_000))

    @pytest.mark.parametrize("hours", [0, 30])
    def test_staff_who_retry_never_refund_twice(
        self, fake: FakeStripe, client: SignedClient, settings: Any, hours: int
    ) -> None:
        """The refund was made, nobody could tell for hours, and Stripe has forgotten the key by then."""
        settings.CHANNEL_BREAKER_FAULTS = 1000
        payment = paid(fake, client)
        fake.plan(Fault.LOSE_ANSWER, REFUND)
        for _question in range(3):
            fake.plan(Fault.LOSE_REQUEST, REFUNDS_OF)
        accepted = data(refund(client, payment, 4_000), 202)
        background.finish()
        saga = SagaInstance.objects.get(business_id=accepted["refund_no"])
        assert saga.needs_attention
        fake.pass_time(hours * HOURS)
        operations.retry_step(saga_id=saga.id, seen_revision=saga.revision, actor="ana", reason="it is back")
        background.finish()
        assert get_refund(client, accepted)["status"] == "succeeded"
        assert given_back(fake, payment) == 4_000
        assert fake.seen.count(REFUND) == 1

    def test_a_refund_that_was_never_sent_is_looked_up_before_it_is_repeated(
        self, fake: FakeStripe, client: SignedClient
    ) -> None:
        payment = paid(fake, client)
        fake.plan(Fault.BUSY, REFUND)
        accepted = data(refund(client, payment, 4_000), 202)
        fake.seen.clear()
        background.finish()
        assert [each for each in fake.seen if each in (REFUND, REFUNDS_OF)] == [REFUNDS_OF, REFUND]
        assert get_refund(client, accepted)["status"] == "succeeded"

    def test_a_500_and_a_refund_that_is_still_on_its_way(
        self, fake: FakeStripe, client: SignedClient
    ) -> None:
        """The first call hangs on the line, and the second is answered by a stored 500. What arrives late has the key
        that is used up: it moves nothing."""
        payment = paid(fake, client)
        fake.plan(Fault.KEEP_BACK, REFUND).plan(Fault.FAIL_BEFORE, REFUND)
        accepted = data(refund(client, payment, 4_000), 202)
        background.finish()
        fake.deliver_late()
        background.finish()
        assert get_refund(client, accepted)["status"] == "succeeded"
        assert given_back(fake, payment) == 4_000


class TestCreations:
    def test_a_stored_500_is_followed_by_another_page(self, fake: FakeStripe, client: SignedClient) -> None:
        fake.plan(Fault.FAIL_AFTER, CREATE)
        accepted = data(create(client, channel="stripe"), 202)
        background.finish()
        payment = get_payment(client, accepted)
        first, second = PaymentAttempt.objects.filter(payment__payment_no=payment["payment_no"]).order_by(
            "number"
        )
        assert (first.status, first.failure_code) == ("declined", "channel_error")
        assert second.reference == f"{payment['payment_no']}-2"
        assert fake.pay(payment["channel_trade_no"])
        assert data(sync(client, payment))["status"] == "succeeded"

    def test_a_stored_500_of_a_charge_that_was_made_is_taken_over(
        self, fake: FakeStripe, client: SignedClient
    ) -> None:
        fake.plan(Fault.FAIL_AFTER, CHARGE)
        accepted = data(create(client, channel="stripe", metadata={"stripe_payment_method": VISA}), 202)
        background.finish()
        assert get_payment(client, accepted)["status"] == "succeeded"
        assert fake.effects(accepted["payment_no"]) == (10_000, 0)
        assert PaymentAttempt.objects.filter(payment__payment_no=accepted["payment_no"]).count() == 1

    def test_further_attempts_end(self, fake: FakeStripe, client: SignedClient, settings: Any) -> None:
        settings.CHANNEL_BREAKER_FAULTS = 1000
        for _key in range(20):
            fake.plan(Fault.FAIL_BEFORE, CREATE)
        accepted = data(create(client, channel="stripe"), 202)
        background.finish()
        payment = get_payment(client, accepted)
        assert (payment["status"], payment["failure_code"]) == ("failed", "channel_error")
        assert PaymentAttempt.objects.filter(payment__payment_no=payment["payment_no"]).count() == 4

    @pytest.mark.parametrize("minutes", [2, 19, 25, 12 * 60])
    def test_an_outage_is_outlived(self, fake: FakeStripe, client: SignedClient, minutes: int) -> None:
        """The first call is lost, and what is repeated after the outage says the same or has a key of its own: a page
        that Stripe would not open any more is replaced by one that it opens."""
        fake.plan(Fault.LOSE_REQUEST, CREATE)
        accepted = data(create(client, channel="stripe", expires_in=600), 202)
        ago = timedelta(minutes=minutes)
        SagaStep.objects.filter(saga__business_id=accepted["payment_no"], intended_at__isnull=False).update(
            intended_at=F("intended_at") - ago
        )
        background.finish()
        payment = get_payment(client, accepted)
        assert (payment["status"], payment["failure_code"]) == ("pending", None)
        session = fake.sessions[payment["channel_trade_no"]]
        assert 1800 <= session["expires_at"] - session["created"] <= 86_400

    def test_a_page_lives_as_long_as_its_payment(self, fake: FakeStripe, client: SignedClient) -> None:
        # A payment begins some seconds before its page is made, on a busy machine.
        for seconds, at_least in ((60, 1800), (7200, 7200 - 30), (86_400, 86_400 - 61 - 30)):
            payment = opened(client, channel="stripe", expires_in=seconds)
            session = fake.sessions[payment["channel_trade_no"]]
            assert at_least <= session["expires_at"] - session["created"] <= 86_400

    def test_a_payment_that_ends_before_its_page_closes_it(
        self, fake: FakeStripe, client: SignedClient
    ) -> None:
        payment = opened(client, channel="stripe", expires_in=60)
        background.time_to_pay_is_over(payment["payment_no"])
        assert expiry.expire_due_payments(environment="test") == 1
        background.finish()
        assert get_payment(client, payment)["status"] == "expired"
        assert fake.sessions[payment["channel_trade_no"]]["status"] == "expired"


class TestRequestsThatAreWrong:
    def test_a_card_that_stripe_does_not_know_is_no_decline(
        self, fake: FakeStripe, client: SignedClient
    ) -> None:
        answer = create(client, channel="stripe", metadata={"stripe_payment_method": "pm_of_another_account"})
        details = error(answer, 502, "channel_request_invalid")
        assert details["failure_code"] == "channel_request_invalid"
        assert get_payment(client, details)["status"] == "failed"

    def test_an_amount_that_stripe_does_not_take_is_refused_before_the_order_exists(
        self, fake: FakeStripe, client: SignedClient
    ) -> None:
        details = error(
            create(client, channel="stripe", amount=995, currency="KWD"), 422, "amount_not_supported"
        )
        assert (details["currency"], details["multiple_of"]) == ("KWD", 10)
        assert fake.seen == []

    def test_a_partial_capture_that_stripe_does_not_take_leaves_the_others_possible(
        self, fake: FakeStripe, client: SignedClient
    ) -> None:
        payment = opened(client, channel="stripe", amount=1_000, currency="KWD", capture_method="manual")
        assert fake.pay(payment["channel_trade_no"])
        assert data(sync(client, payment))["status"] == "authorized"
        error(capture(client, payment, amount=995), 422, "amount_not_supported")
        captured = data(capture(client, payment, amount=990))
        assert (captured["status"], captured["captured_amount"]) == ("succeeded", 990)
        error(refund(client, payment, 5), 422, "amount_not_supported")

    def test_a_payment_that_outlives_every_page_is_refused_before_the_order_exists(
        self, fake: FakeStripe, client: SignedClient
    ) -> None:
        details = error(create(client, channel="stripe", expires_in=86_401), 400, "validation_failed")
        assert list(details) == ["expires_in"]


def test_a_cancel_is_not_held_up_by_a_stored_500(fake: FakeStripe, client: SignedClient) -> None:
    payment = opened(client, channel="stripe")
    fake.plan(Fault.FAIL_BEFORE, "POST /v1/checkout/sessions/.*/expire")
    data(cancel(client, payment), 202)
    background.finish()
    assert get_payment(client, payment)["status"] == "cancelled"
