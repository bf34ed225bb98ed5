"""Polling with growing intervals until it gives up, and queries before operations."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.db.models.functions import Now

from channels.base import NotProcessed, UnknownOutcome
from gateway.models import Payment, Refund
from gateway.services.polling import (
    GIVE_UP_AUTHORIZATION_AFTER,
    GIVE_UP_PAYMENT_AFTER,
    GIVE_UP_REFUND_AFTER,
)
from tests.support import background, bank
from tests.support.auditing import _audited  # noqa: F401
from tests.support.channels import InterceptedSimulator, intercept_simulator
from tests.support.polling import poll_due
from tests.support.shop import (
    Body,
    authorized,
    cancel,
    capture,
    create,
    data,
    error,
    get_payment,
    get_refund,
    new_no,
    opened,
    paid,
    refund,
)
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> InterceptedSimulator:
    return intercept_simulator(monkeypatch)


def no_answer(operation: str, answer: Any) -> Any:
    return UnknownOutcome("no answer", is_channel_fault=False) if operation.startswith("find_") else answer


def poll_once() -> None:
    background.make_checks_due()
    poll_due()


def test_polling_intervals_double_up_to_six_hours(client: SignedClient) -> None:
    opened(client)
    waits = []
    for _ in range(12):
        poll_once()
        row = Payment.objects.annotate(wait=F("next_check_at") - Now()).get()
        waits.append(round(row.wait / timedelta(minutes=1)))
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360, 360]


@pytest.mark.parametrize("is_silent", [False, True])
def test_a_payment_without_outcome_needs_review(
    client: SignedClient, simulator: InterceptedSimulator, is_silent: bool
) -> None:
    payment = opened(client)
    if is_silent:
        simulator.after = no_answer
    poll_once()
    Payment.objects.update(expires_at=Now() - GIVE_UP_PAYMENT_AFTER + timedelta(minutes=5))
    poll_once()
    assert not Payment.objects.get().needs_attention
    Payment.objects.update(expires_at=Now() - GIVE_UP_PAYMENT_AFTER)
    poll_once()
    row = Payment.objects.get()
    assert (row.status, row.needs_attention, row.next_check_at) == ("pending", True, None)
    simulator.mend()
    bank.pay(payment)
    bank.deliver_webhooks(payment["payment_no"])
    assert get_payment(client, payment)["status"] == "succeeded", "a later webhook is applied"


def test_an_authorization_is_polled_for_as_long_as_it_can_live(client: SignedClient) -> None:
    """At PayPal an authorization can live for 29 days."""
    authorized(client, "no_webhook")
    Payment.objects.update(next_check_at=Now(), expires_at=Now() - GIVE_UP_PAYMENT_AFTER)
    poll_once()
    assert not Payment.objects.get().needs_attention
    Payment.objects.update(next_check_at=Now(), expires_at=Now() - GIVE_UP_AUTHORIZATION_AFTER)
    poll_once()
    assert Payment.objects.get().needs_attention


def test_polling_does_not_give_up_after_a_query_that_was_not_sent(
    client: SignedClient, simulator: InterceptedSimulator
) -> None:
    opened(client)
    Payment.objects.update(expires_at=Now() - GIVE_UP_PAYMENT_AFTER)
    simulator.after = lambda operation, answer: NotProcessed(
        "down", 1.0, is_channel_fault=False, spends_attempt=False
    )
    poll_once()
    assert not Payment.objects.get().needs_attention


def test_a_refund_without_outcome_needs_review(client: SignedClient) -> None:
    refunded = data(refund(client, paid(client, "refund_pending:9000"), 1_000))
    Refund.objects.update(created_at=Now() - GIVE_UP_REFUND_AFTER + timedelta(minutes=5))
    poll_once()
    assert not Payment.objects.get().needs_attention
    Refund.objects.update(created_at=Now() - GIVE_UP_REFUND_AFTER)
    poll_once()
    assert Refund.objects.get().next_check_at is None
    assert refunded["refund_no"] in Payment.objects.get().attention_reason
    assert get_refund(client, refunded)["status"] == "processing"


# --- Queries before operations ---


def paid_without_webhook(client: SignedClient) -> Body:
    payment = opened(client, "no_webhook")
    bank.pay(payment)
    return payment


def test_a_refund_queries_a_payment_that_is_not_paid(client: SignedClient) -> None:
    payment = paid_without_webhook(client)
    assert data(refund(client, payment, 1_000))["status"] == "succeeded"
    assert get_payment(client, payment)["status"] == "succeeded"
    assert bank.read_ledger(payment["payment_no"]) == [("charge", 10_000), ("refund", 1_000)]


def test_a_refund_of_an_unpaid_payment_is_refused(client: SignedClient) -> None:
    error(refund(client, opened(client), 1), 409, "payment_not_refundable")
    closed = opened(client)
    data(cancel(client, closed))
    error(refund(client, closed, 1), 409, "payment_not_refundable")


def test_a_capture_queries_a_payment_that_is_not_authorized(client: SignedClient) -> None:
    payment = opened(client, "no_webhook", capture_method="manual")
    bank.pay(payment)
    assert data(capture(client, payment, amount=4_000))["captured_amount"] == 4_000


def test_a_cancel_finds_out_that_the_payment_is_paid(client: SignedClient) -> None:
    payment = paid_without_webhook(client)
    error(cancel(client, payment), 409, "payment_not_cancellable")
    assert get_payment(client, payment)["status"] == "succeeded"


@pytest.mark.parametrize(
    "operate", [lambda c, p, k: refund(c, p, 1, key=k), lambda c, p, k: capture(c, p, key=k)]
)
def test_an_operation_can_be_repeated_when_the_channel_did_not_answer(
    client: SignedClient, simulator: InterceptedSimulator, operate: Callable[..., Any]
) -> None:
    payment, key = opened(client), new_no("key")
    simulator.after = no_answer
    error(operate(client, payment, key), 503, "service_unavailable")
    simulator.mend()
    assert operate(client, payment, key).status_code == 409, "the key can be used again"


def test_a_payment_that_the_channel_does_not_know_is_not_refundable(client: SignedClient) -> None:
    payment = data(create(client, "timeout_before*2"), 202)
    error(refund(client, payment, 1), 409, "payment_not_refundable")
    background.finish()
