"""Idempotency keys at Stripe: stored responses, a 500 included, keys that are forgotten after a day, and parameters
that are bound to a key. One refund number never moves money twice."""

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
from tests.support.stripe.fake import VISA, FakeStripe, Fault
from tests.support.stripe.server import fake_stripe

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

CREATE, CHARGE, REFUND = "POST /v1/checkout/sessions", "POST /v1/payment_intents", "POST /v1/refunds"
REFUNDS_OF = "GET /v1/refunds"
HOURS = 3600.0


@pytest.fixture
def fake(fake: FakeStripe, settings: Any) -> Iterator[FakeStripe]:
    """A fake of its own, whose clock the test advances."""
    with fake_stripe() as fresh:
        settings.STRIPE_API_BASE = fresh.url
        yield fresh
        assert fresh.errors == []


def paid(fake: FakeStripe, client: SignedClient) -> dict[str, Any]:
    payment = opened(client, channel="stripe")
    assert fake.pay_session(payment["channel_trade_no"])
    synced: dict[str, Any] = data(sync(client, payment))
    return synced


def refunded_amount(fake: FakeStripe, payment: dict[str, Any]) -> int:
    return fake.get_amounts(payment["payment_no"])[1]


def get_saga_step(business_id: str, name: str) -> SagaStep:
    return SagaStep.objects.get(saga__business_id=business_id, step_name=name)


class TestRefundKeys:
    def test_after_a_stored_500_the_refund_is_sent_with_a_new_key(
        self, fake: FakeStripe, client: SignedClient
    ) -> None:
        payment = paid(fake, client)
        fake.plan_fault(Fault.FAIL_BEFORE, REFUND)
        accepted = data(refund(client, payment, 4_000), 202)
        background.finish()
        assert get_refund(client, accepted)["status"] == "succeeded"
        assert refunded_amount(fake, payment) == 4_000
        assert get_saga_step(accepted["refund_no"], "CallChannelRefund").call_number == 2
        assert fake.requests_seen.count(REFUND) == 3, "the 500, its replay, and the call with the new key"

    def test_a_refund_that_was_made_despite_a_500_is_found(
        self, fake: FakeStripe, client: SignedClient
    ) -> None:
        payment = paid(fake, client)
        fake.plan_fault(Fault.FAIL_AFTER, REFUND)
        accepted = data(refund(client, payment, 4_000), 202)
        background.finish()
        assert get_refund(client, accepted)["status"] == "succeeded"
        assert refunded_amount(fake, payment) == 4_000
        assert fake.requests_seen.count(REFUND) == 1

    def test_replayed_errors_do_not_count_for_the_breaker(
        self, fake: FakeStripe, client: SignedClient, settings: Any
    ) -> None:
        """Two refunds get a stored 500 each: these count as two faults, and their replays count as none."""
        settings.CHANNEL_BREAKER_FAULTS = 3
        payment = paid(fake, client)
        for _refund in range(2):
            fake.plan_fault(Fault.FAIL_BEFORE, REFUND)
            data(refund(client, payment, 100), 202)
        assert breaker_of("stripe").faults == 2
        background.finish()
        assert breaker_of("stripe").phase == "closed"
        assert breaker_of("stripe").faults <= 2
        assert refunded_amount(fake, payment) == 200

    def test_a_refund_fails_when_every_key_gets_a_500(
        self, fake: FakeStripe, client: SignedClient, settings: Any
    ) -> None:
        """It is certain that no money was refunded: the refund fails, its reservation ends, and it needs no review."""
        settings.CHANNEL_BREAKER_FAULTS = 1000
        payment = paid(fake, client)
        for _key in range(20):
            fake.plan_fault(Fault.FAIL_BEFORE, REFUND)
        accepted = data(refund(client, payment, 4_000), 202)
        background.finish()
        now = get_refund(client, accepted)
        assert (now["status"], now["failure_code"]) == ("failed", "retries_exhausted")
        assert refunded_amount(fake, payment) == get_payment(client, payment)["refunded_amount"] == 0
        fake.faults.clear()
        data(refund(client, payment, 10_000))

    @pytest.mark.parametrize("hours", [0, 30])
    def test_a_retry_by_staff_never_refunds_twice(
        self, fake: FakeStripe, client: SignedClient, settings: Any, hours: int
    ) -> None:
        """The refund was made, but all queries fail for hours, until Stripe has forgotten the key."""
        settings.CHANNEL_BREAKER_FAULTS = 1000
        payment = paid(fake, client)
        fake.plan_fault(Fault.LOSE_ANSWER, REFUND)
        for _question in range(3):
            fake.plan_fault(Fault.LOSE_REQUEST, REFUNDS_OF)
        accepted = data(refund(client, payment, 4_000), 202)
        background.finish()
        saga = SagaInstance.objects.get(business_id=accepted["refund_no"])
        assert saga.needs_attention
        fake.advance_clock(hours * HOURS)
        operations.retry_step(saga_id=saga.id, seen_revision=saga.revision, actor="ana", reason="it is back")
        background.finish()
        assert get_refund(client, accepted)["status"] == "succeeded"
        assert refunded_amount(fake, payment) == 4_000
        assert fake.requests_seen.count(REFUND) == 1

    def test_a_refund_that_was_not_processed_is_queried_before_it_is_repeated(
        self, fake: FakeStripe, client: SignedClient
    ) -> None:
        payment = paid(fake, client)
        fake.plan_fault(Fault.RATE_LIMITED, REFUND)
        accepted = data(refund(client, payment, 4_000), 202)
        fake.requests_seen.clear()
        background.finish()
        assert [each for each in fake.requests_seen if each in (REFUND, REFUNDS_OF)] == [REFUNDS_OF, REFUND]
        assert get_refund(client, accepted)["status"] == "succeeded"

    def test_a_delayed_request_with_a_used_up_key_moves_no_money(
        self, fake: FakeStripe, client: SignedClient
    ) -> None:
        """The first request is delayed, the second gets a stored 500. The first arrives late, with the used-up key."""
        payment = paid(fake, client)
        fake.plan_fault(Fault.DELAY, REFUND).plan_fault(Fault.FAIL_BEFORE, REFUND)
        accepted = data(refund(client, payment, 4_000), 202)
        background.finish()
        fake.deliver_delayed_requests()
        background.finish()
        assert get_refund(client, accepted)["status"] == "succeeded"
        assert refunded_amount(fake, payment) == 4_000


class TestCreationKeys:
    def test_after_a_stored_500_another_page_is_created(self, fake: FakeStripe, client: SignedClient) -> None:
        fake.plan_fault(Fault.FAIL_AFTER, CREATE)
        accepted = data(create(client, channel="stripe"), 202)
        background.finish()
        payment = get_payment(client, accepted)
        first, second = PaymentAttempt.objects.filter(payment__payment_no=payment["payment_no"]).order_by(
            "number"
        )
        assert (first.status, first.failure_code) == ("declined", "channel_error")
        assert second.reference == f"{payment['payment_no']}-2"
        assert fake.pay_session(payment["channel_trade_no"])
        assert data(sync(client, payment))["status"] == "succeeded"

    def test_a_charge_that_was_made_despite_a_500_is_found(
        self, fake: FakeStripe, client: SignedClient
    ) -> None:
        fake.plan_fault(Fault.FAIL_AFTER, CHARGE)
        accepted = data(create(client, channel="stripe", metadata={"stripe_payment_method": VISA}), 202)
        background.finish()
        assert get_payment(client, accepted)["status"] == "succeeded"
        assert fake.get_amounts(accepted["payment_no"]) == (10_000, 0)
        assert PaymentAttempt.objects.filter(payment__payment_no=accepted["payment_no"]).count() == 1

    def test_the_number_of_further_attempts_is_limited(
        self, fake: FakeStripe, client: SignedClient, settings: Any
    ) -> None:
        settings.CHANNEL_BREAKER_FAULTS = 1000
        for _key in range(20):
            fake.plan_fault(Fault.FAIL_BEFORE, CREATE)
        accepted = data(create(client, channel="stripe"), 202)
        background.finish()
        payment = get_payment(client, accepted)
        assert (payment["status"], payment["failure_code"]) == ("failed", "channel_error")
        assert PaymentAttempt.objects.filter(payment__payment_no=payment["payment_no"]).count() == 4

    @pytest.mark.parametrize("minutes", [2, 19, 25, 12 * 60])
    def test_a_creation_is_repeated_after_an_outage(
        self, fake: FakeStripe, client: SignedClient, minutes: int
    ) -> None:
        """The first call is lost. The repetition has the same parameters, or a new key if Stripe then refuses them."""
        fake.plan_fault(Fault.LOSE_REQUEST, CREATE)
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
        # On a busy machine a payment starts some seconds before its page is created.
        for seconds, at_least in ((60, 1800), (7200, 7200 - 30), (86_400, 86_400 - 61 - 30)):
            payment = opened(client, channel="stripe", expires_in=seconds)
            session = fake.sessions[payment["channel_trade_no"]]
            assert at_least <= session["expires_at"] - session["created"] <= 86_400

    def test_a_payment_that_ends_before_its_page_closes_it(
        self, fake: FakeStripe, client: SignedClient
    ) -> None:
        payment = opened(client, channel="stripe", expires_in=60)
        background.expire_payment(payment["payment_no"])
        assert expiry.expire_due_payments(environment="test") == 1
        background.finish()
        assert get_payment(client, payment)["status"] == "expired"
        assert fake.sessions[payment["channel_trade_no"]]["status"] == "expired"


class TestInvalidRequests:
    def test_an_unknown_card_is_not_a_decline(self, fake: FakeStripe, client: SignedClient) -> None:
        answer = create(client, channel="stripe", metadata={"stripe_payment_method": "pm_of_another_account"})
        details = error(answer, 502, "channel_request_invalid")
        assert details["failure_code"] == "channel_request_invalid"
        assert get_payment(client, details)["status"] == "failed"

    def test_an_impossible_amount_is_refused_before_the_order_exists(
        self, fake: FakeStripe, client: SignedClient
    ) -> None:
        details = error(
            create(client, channel="stripe", amount=995, currency="KWD"), 422, "amount_not_supported"
        )
        assert (details["currency"], details["multiple_of"]) == ("KWD", 10)
        assert fake.requests_seen == []

    def test_after_a_refused_partial_capture_another_one_is_possible(
        self, fake: FakeStripe, client: SignedClient
    ) -> None:
        payment = opened(client, channel="stripe", amount=1_000, currency="KWD", capture_method="manual")
        assert fake.pay_session(payment["channel_trade_no"])
        assert data(sync(client, payment))["status"] == "authorized"
        error(capture(client, payment, amount=995), 422, "amount_not_supported")
        captured = data(capture(client, payment, amount=990))
        assert (captured["status"], captured["captured_amount"]) == ("succeeded", 990)
        error(refund(client, payment, 5), 422, "amount_not_supported")

    def test_a_payment_longer_than_any_page_is_refused_before_the_order_exists(
        self, fake: FakeStripe, client: SignedClient
    ) -> None:
        details = error(create(client, channel="stripe", expires_in=86_401), 400, "validation_failed")
        assert list(details) == ["expires_in"]


def test_a_cancel_sends_no_key_and_repeats_no_500(fake: FakeStripe, client: SignedClient) -> None:
    payment = opened(client, channel="stripe")
    fake.plan_fault(Fault.FAIL_BEFORE, "POST /v1/checkout/sessions/.*/expire")
    data(cancel(client, payment), 202)
    background.finish()
    assert get_payment(client, payment)["status"] == "cancelled"
