"""The method `simulator_approval`: the customer approves, and the platform completes the payment, once."""

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest
from django.db.models.functions import Now

from channels.base import (
    ChannelPayment,
    CompletePayment,
    Declined,
    NotFoundAtChannel,
    PaymentState,
    Reported,
    UnknownOutcome,
    WebhookRefused,
)
from channels.simulator import customer
from channels.simulator.channel import SimulatorChannel
from channels.simulator.models import Notification, SimulatedPayment
from tests.simulator.conftest import Shop, ledger, ref
from tests.support.bank import build_webhook_request
from tests.support.channels import TEST_ACCOUNT

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


def approve(shop: Shop, simulate: str = "", **changes: Any) -> ChannelPayment:
    payment = shop.pay(simulate, payment_method="simulator_approval", **changes)
    assert payment.state == PaymentState.APPROVED
    return payment


def build_completion(payment: ChannelPayment, **changes: Any) -> CompletePayment:
    assert payment.amount_minor is not None
    request = CompletePayment("complete-1", ref(payment.reference), payment.amount_minor, payment.currency)
    return replace(request, **changes)


@pytest.mark.parametrize("action", [customer.CustomerAction.PAY, customer.CustomerAction.PAY_SLOWLY])
def test_the_customer_only_approves(shop: Shop, action: customer.CustomerAction) -> None:
    payment = shop.create(payment_method="simulator_approval")
    assert payment.state == PaymentState.OPEN
    token = SimulatedPayment.objects.get(pk=payment.reference).token
    assert customer.perform_action(token, action)
    found = shop.channel.find_payment(ref(payment.reference))
    assert isinstance(found, Reported)
    assert found.value.state == PaymentState.APPROVED
    assert found.value.complete_before is not None
    left = (found.value.complete_before - dt.datetime.now(dt.UTC)).total_seconds()
    assert 3 * 3600 - 60 < left <= 3 * 3600 + 60
    assert ledger(payment.reference) == []


def test_the_webhook_says_until_when(channel: SimulatorChannel, shop: Shop) -> None:
    payment = approve(shop)
    payload = Notification.objects.get(reference=payment.reference).payload
    assert payload["type"] == "payment.approved"
    (update,) = channel.parse_webhook(TEST_ACCOUNT, build_webhook_request(payload)).updates
    assert isinstance(update, ChannelPayment)
    assert (update.state, update.complete_before) == (PaymentState.APPROVED, payment.complete_before)
    for wrong in ("tomorrow", "2026-11-28T10:00:00", 5):
        payload["payment"]["complete_before"] = wrong
        with pytest.raises(WebhookRefused):
            channel.parse_webhook(TEST_ACCOUNT, build_webhook_request(payload))


def test_one_key_completes_once(channel: SimulatorChannel, shop: Shop) -> None:
    payment = approve(shop)
    for _ in range(2):
        answer = channel.complete_payment(build_completion(payment))
        assert isinstance(answer, Reported)
        assert (answer.value.state, answer.value.captured_minor) == (PaymentState.PAID, 10_000)
        assert answer.value.complete_before is None
    another = channel.complete_payment(build_completion(payment, key="complete-2"))
    assert isinstance(another, Declined)
    assert ledger(payment.reference) == [("charge", 10_000)]


def test_with_manual_capture_it_is_authorized(channel: SimulatorChannel, shop: Shop) -> None:
    payment = approve(shop, manual_capture=True)
    answer = channel.complete_payment(build_completion(payment, manual_capture=True))
    assert isinstance(answer, Reported)
    assert answer.value.state == PaymentState.AUTHORIZED
    assert ledger(payment.reference) == [("authorize", 10_000)]


@pytest.mark.parametrize("change", [{"amount_minor": 9_999}, {"currency": "EUR"}, {"manual_capture": True}])
def test_a_completion_that_differs_from_the_approval_is_declined(
    channel: SimulatorChannel, shop: Shop, change: dict[str, Any]
) -> None:
    payment = approve(shop)
    assert isinstance(channel.complete_payment(build_completion(payment, **change)), Declined)
    assert ledger(payment.reference) == []


def test_a_payment_without_an_approval_is_not_completed(channel: SimulatorChannel, shop: Shop) -> None:
    payment = shop.create(payment_method="simulator_approval")
    assert isinstance(channel.complete_payment(build_completion(payment)), Declined)
    unknown = replace(build_completion(payment), payment=ref("PAY-unknown"))
    assert channel.complete_payment(unknown) == NotFoundAtChannel()


def test_an_approval_is_not_cancelled(channel: SimulatorChannel, shop: Shop) -> None:
    payment = approve(shop)
    assert channel.cancel_payment(shop.cancellation(payment.reference)) == Reported(payment)


def test_an_approval_lapses(channel: SimulatorChannel, shop: Shop) -> None:
    payment = approve(shop, "approval_lapses:60")
    SimulatedPayment.objects.filter(pk=payment.reference).update(complete_before=Now())
    assert isinstance(channel.complete_payment(build_completion(payment)), Declined)
    found = channel.find_payment(ref(payment.reference))
    assert isinstance(found, Reported)
    assert (found.value.state, found.value.failure_code) == (PaymentState.CANCELLED, "approval_lapsed")
    assert ledger(payment.reference) == []


@pytest.mark.parametrize(("fault", "is_charged"), [("timeout_before", False), ("timeout_after", True)])
def test_lost_calls(channel: SimulatorChannel, shop: Shop, fault: str, is_charged: bool) -> None:
    payment = approve(shop, f"complete:{fault}")
    assert isinstance(channel.complete_payment(build_completion(payment)), UnknownOutcome)
    assert bool(ledger(payment.reference)) == is_charged
    assert isinstance(channel.complete_payment(build_completion(payment)), Reported)
    assert ledger(payment.reference) == [("charge", 10_000)]


def test_the_bank_declines_at_the_completion(channel: SimulatorChannel, shop: Shop) -> None:
    payment = approve(shop, "pay_declined")
    for _ in range(2):
        answer = channel.complete_payment(build_completion(payment))
        assert isinstance(answer, Declined)
        assert answer.code == "card_declined"
    assert ledger(payment.reference) == []


def test_the_bank_decides_later(channel: SimulatorChannel, shop: Shop) -> None:
    payment = approve(shop, "processing:60")
    for _ in range(2):
        answer = channel.complete_payment(build_completion(payment))
        assert isinstance(answer, Reported)
        assert answer.value.state == PaymentState.PROCESSING
    SimulatedPayment.objects.filter(pk=payment.reference).update(settles_at=Now())
    found = channel.find_payment(ref(payment.reference))
    assert isinstance(found, Reported)
    assert found.value.state == PaymentState.PAID
    assert ledger(payment.reference) == [("charge", 10_000)]
