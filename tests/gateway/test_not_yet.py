"""A page that the channel cannot close: the customer can still pay, so a cancellation waits for the page's end."""

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from channels.base import CancelPayment, NotFoundAtChannel, NotYet, PaymentRef, PaymentResult
from gateway.models import Payment
from gateway.services import expiry
from sagas.models import SagaInstance
from tests.support import background, bank
from tests.support.auditing import _audited  # noqa: F401
from tests.support.channels import TEST_ACCOUNT, AdditionalChannel, add_channel
from tests.support.sagas import run_due
from tests.support.shop import cancel, create, data, get_payment, opened, sync
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> AdditionalChannel:
    """A channel whose page cannot be closed: until its end, the customer can still create the payment."""
    channel = add_channel(monkeypatch, "page")
    until = timezone.now() + dt.timedelta(hours=2)
    channel.cancel_payment = lambda _request: NotYet(until)  # type: ignore[attr-defined]
    channel.find_payment = lambda _ref: NotYet(until)  # type: ignore[attr-defined]
    return channel


def page_ends(channel: AdditionalChannel) -> None:
    channel.find_payment = lambda _ref: NotFoundAtChannel()  # type: ignore[attr-defined]

    def close(request: CancelPayment) -> PaymentResult:
        """Closes the simulator's page too, so that the integrity checks pass."""
        channel._simulator.cancel_payment(request)
        return NotFoundAtChannel()

    channel.cancel_payment = close  # type: ignore[attr-defined]


def pay_on_page(channel: AdditionalChannel, payment: dict[str, Any]) -> None:
    del channel.find_payment, channel.cancel_payment  # type: ignore[attr-defined]
    bank.pay(payment)


def open_page(client: SignedClient) -> dict[str, Any]:
    return opened(client, channel="page", metadata={"page": "no_webhook"})


def wait_of(payment: dict[str, Any]) -> tuple[SagaInstance, float]:
    saga = background.saga_of(payment["payment_no"], "payment.cancel")
    step = saga.steps.get(step_name="CancelAtChannel")
    assert step.retry_count == 0
    assert step.next_retry_at is not None
    return saga, (step.next_retry_at - timezone.now()).total_seconds()


def test_a_cancel_waits_for_the_end_of_the_page(client: SignedClient, page: AdditionalChannel) -> None:
    payment = open_page(client)
    assert data(cancel(client, payment), 202)["status"] == "pending"
    assert data(sync(client, payment))["status"] == "pending"
    saga, wait_seconds = wait_of(payment)
    assert 7100 < wait_seconds <= 7260
    assert (saga.deadline_at - timezone.now()).total_seconds() > wait_seconds
    page_ends(page)
    background.finish()
    assert get_payment(client, payment)["status"] == "cancelled"


def test_a_payment_meanwhile_ends_the_cancellation(client: SignedClient, page: AdditionalChannel) -> None:
    payment = open_page(client)
    data(cancel(client, payment), 202)
    pay_on_page(page, payment)
    assert data(sync(client, payment))["status"] == "succeeded"
    background.finish()
    saga = background.saga_of(payment["payment_no"], "payment.cancel")
    assert saga.status == "completed"
    assert get_payment(client, payment)["captured_amount"] == 10_000


def test_the_update_wakes_the_cancellation(client: SignedClient, page: AdditionalChannel) -> None:
    payment = open_page(client)
    data(cancel(client, payment), 202)
    pay_on_page(page, payment)
    data(sync(client, payment))
    saga = background.saga_of(payment["payment_no"], "payment.cancel")
    assert saga.due_at <= timezone.now()
    run_due()


def test_the_channel_closes_the_payment_meanwhile(client: SignedClient, page: AdditionalChannel) -> None:
    """The cancellation ends at once, so that a further attempt need not wait for the end of the page."""
    payment = open_page(client)
    data(cancel(client, payment), 202)
    del page.find_payment, page.cancel_payment  # type: ignore[attr-defined]
    ref = PaymentRef(payment["payment_no"], TEST_ACCOUNT, 10.0)
    page._simulator.cancel_payment(CancelPayment("by-channel", ref))
    assert data(sync(client, payment))["status"] == "cancelled"
    run_due()
    assert background.saga_of(payment["payment_no"], "payment.cancel").status == "completed"
    again = data(create(client, order_no=payment["order_no"], channel="page"))
    assert again["status"] == "pending"


def test_an_expired_payment_closes_only_after_its_page(client: SignedClient, page: AdditionalChannel) -> None:
    payment = open_page(client)
    background.expire_payment(payment["payment_no"])
    expiry.expire_due_payments(environment="test")
    run_due()
    assert get_payment(client, payment)["status"] == "pending"
    wait_of(payment)
    page_ends(page)
    background.finish()
    assert get_payment(client, payment)["status"] == "expired"


def test_a_cancel_during_the_creation_closes_at_once(client: SignedClient, page: AdditionalChannel) -> None:
    """The customer never got the page, because the creation was never answered."""
    script = {"page": "timeout_before*always,no_webhook"}
    payment = data(create(client, channel="page", metadata=script), 202)
    data(cancel(client, payment), 202)
    background.finish()
    assert get_payment(client, payment)["status"] == "cancelled"
    assert not Payment.objects.get(payment_no=payment["payment_no"]).needs_attention
