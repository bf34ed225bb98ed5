"""Stripe is connected or disconnected while payments are open: each payment stays with the channel that made it."""

from typing import Any

import pytest

from gateway.models import Payment
from tests.support import background, bank
from tests.support.auditing import _audited  # noqa: F401
from tests.support.polling import poll_due
from tests.support.shop import (
    authorized,
    cancel,
    capture,
    create,
    data,
    error,
    get_payment,
    get_refund,
    opened,
    paid,
    refund,
    sync,
)
from tests.support.signing import SignedClient
from tests.support.stripe.fake import FakeStripe
from tests.support.stripe.shop import create_paid_payment

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])
QUIET = "no_webhook"


@pytest.fixture
def connect(fake: FakeStripe, settings: Any) -> Any:
    """Returns a function that connects Stripe. Until it is called, Stripe is not connected."""
    connected = settings.STRIPE_SECRET_KEYS
    settings.STRIPE_SECRET_KEYS = {"test": "", "live": ""}

    def _connect() -> None:
        settings.STRIPE_SECRET_KEYS = connected

    return _connect


def test_a_sandbox_payment_is_refunded_where_it_was_paid(
    client: SignedClient, fake: FakeStripe, connect: Any
) -> None:
    payment = paid(client, QUIET, channel="stripe")
    assert payment["sandbox"]
    connect()
    created_refund = data(refund(client, payment, 3_000))
    assert created_refund["status"] == "succeeded"
    assert bank.read_ledger(payment["payment_no"]) == [("charge", 10_000), ("refund", 3_000)]
    assert fake.requests_seen == []


def test_a_sandbox_payment_is_captured_where_it_was_authorized(
    client: SignedClient, fake: FakeStripe, connect: Any
) -> None:
    payment = authorized(client, QUIET, channel="stripe")
    connect()
    assert data(capture(client, payment, amount=4_000))["captured_amount"] == 4_000
    assert fake.requests_seen == []


def test_a_sandbox_payment_is_cancelled_where_it_was_created(
    client: SignedClient, fake: FakeStripe, connect: Any
) -> None:
    payment = opened(client, QUIET, channel="stripe")
    connect()
    assert data(cancel(client, payment))["status"] == "cancelled"
    assert fake.requests_seen == []


def test_a_sandbox_payment_is_synced_and_polled_at_the_simulator(
    client: SignedClient, fake: FakeStripe, connect: Any
) -> None:
    first, second = (opened(client, QUIET, channel="stripe") for _each in range(2))
    bank.pay(first)
    bank.pay(second)
    connect()
    assert data(sync(client, first))["status"] == "succeeded"
    background.make_checks_due()
    poll_due()
    assert get_payment(client, second)["status"] == "succeeded"
    assert fake.requests_seen == []


def test_webhooks_of_the_simulator_are_applied(client: SignedClient, fake: FakeStripe, connect: Any) -> None:
    payment = opened(client, channel="stripe")
    connect()
    bank.pay(payment)
    assert "applied" in bank.deliver_webhooks(payment["payment_no"])


def test_a_creation_in_doubt_is_queried_where_it_was_sent(
    client: SignedClient, fake: FakeStripe, connect: Any
) -> None:
    payment = data(create(client, f"auto_pay,{QUIET},timeout_after", channel="stripe"), 202)
    connect()
    background.finish()
    assert get_payment(client, payment)["status"] == "succeeded"
    assert fake.requests_seen == []


def test_a_pending_refund_is_polled_at_the_simulator(
    client: SignedClient, fake: FakeStripe, connect: Any
) -> None:
    payment = paid(client, f"{QUIET},refund_pending:0", channel="stripe")
    created_refund = data(refund(client, payment, 3_000))
    connect()
    bank.settle_due_payments()
    background.make_checks_due()
    poll_due()
    assert get_refund(client, created_refund)["status"] == "succeeded"


def test_the_simulator_is_never_queried_about_payments_of_stripe(
    client: SignedClient, fake: FakeStripe, settings: Any
) -> None:
    """Stripe's key is removed. The simulator does not know the payment and would report it as unpaid."""
    payment = opened(client, channel="stripe")
    assert not payment["sandbox"]
    settings.STRIPE_SECRET_KEYS = {"test": "", "live": ""}
    error(sync(client, payment), 503, "service_unavailable")
    assert cancel(client, payment).status_code == 202
    background.finish()
    assert Payment.objects.get().status == "pending"


def test_a_refund_without_its_channel_fails_and_moves_no_money(
    client: SignedClient, fake: FakeStripe, settings: Any
) -> None:
    payment = create_paid_payment(fake, client)
    settings.STRIPE_SECRET_KEYS = {"test": "", "live": ""}
    created_refund = data(refund(client, payment, 3_000), 202)
    background.finish()
    assert get_refund(client, created_refund)["status"] == "failed"
    assert get_payment(client, payment)["refundable_amount"] == 10_000
    assert bank.read_ledger(payment["payment_no"]) == []
