"""The card of a payment: it is stored with the payment, shown by the API, and never has more than four digits."""

import pytest
from django.db import IntegrityError, transaction

from channels.simulator import ledger
from channels.simulator.methods import CARDS
from channels.simulator.models import SimulatedPayment
from gateway.models import ChannelEvent, Payment
from tests.support import bank, shop
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])
MASTERCARD = {"brand": "mastercard", "last4": "4444", "wallet": None}


def send(payment: dict[str, object], card: object) -> str:
    webhook = bank.build_webhook(payment, state="paid", captured_minor=payment["amount"])
    webhook["payment"]["card"] = card
    return bank.read_effect(bank.send_webhook(webhook))


def test_the_webhook_of_the_payment_reports_the_card(client: SignedClient) -> None:
    payment = shop.opened(client)
    assert payment["card"] is None
    assert send(payment, {"brand": "mastercard", "last4": "4444"}) == "applied"
    path = f"{shop.PAYMENTS}/{payment['payment_no']}"
    assert shop.data(client.get(path))["card"] == MASTERCARD
    stored = ChannelEvent.objects.get(reference=payment["payment_no"]).payload
    assert "4444" not in str(stored), "the stored webhook stays redacted"


def test_a_later_webhook_adds_the_card(client: SignedClient) -> None:
    payment = shop.opened(client)
    assert send(payment, None) == "applied"
    for _time in range(2):
        assert send(payment, {"brand": "mastercard", "last4": "4444"}) == "nothing_new"
    assert Payment.objects.get(payment_no=payment["payment_no"]).card_last_four == "4444"


@pytest.mark.parametrize("card", ["4242424242424242", {"brand": "visa", "last4": "4242424242424242"}, [1]])
def test_a_card_with_more_than_four_digits_is_not_stored(client: SignedClient, card: object) -> None:
    payment = shop.opened(client)
    assert send(payment, card) == "applied"
    kept = Payment.objects.get(payment_no=payment["payment_no"])
    assert (kept.status, kept.card_last_four) == ("succeeded", "")
    with pytest.raises(IntegrityError), transaction.atomic():
        Payment.objects.filter(pk=kept.pk).update(card_last_four="424")


@pytest.mark.parametrize(
    ("method", "state", "has_card"),
    [("", "paid", True), ("", "authorized", True), ("", "open", False), ("simulator_qr", "paid", False)],
)
def test_the_simulator_chooses_the_card_by_the_amount(method: str, state: str, has_card: bool) -> None:
    paid = SimulatedPayment(payment_method=method, state=state, amount=10_200, captured=10_200)
    card = ledger.to_channel_payment(paid).card
    assert card == (CARDS[102 % len(CARDS)] if has_card else None)
    description = ledger.describe_payment(paid, ledger.to_channel_payment(paid)).get("card")
    assert description == ({"brand": "unionpay", "last4": "9424", "wallet": ""} if has_card else None)
