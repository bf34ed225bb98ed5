"""The card of a payment, as each channel reports it: never more than four digits."""

import pytest

from channels.base import PaymentCard, ReportedCard, read_card
from channels.paypal.orders import read_order
from channels.stripe.payment_objects import read_charged_card

CARD_NUMBER = "4242424242424242"
LABELS = {"payment_platform_payment_no": "PAY-1", "payment_platform_environment": "test"}


@pytest.mark.parametrize(
    "fields",
    [
        {"brand": "visa", "last_four": CARD_NUMBER},
        {"brand": "visa", "last_four": "42424"},
        {"brand": "visa", "last_four": "٤٢٤٢"},
        {"brand": CARD_NUMBER, "last_four": "4242"},
        {"brand": "", "last_four": "4242"},
        {"brand": "visa", "last_four": "4242", "wallet": CARD_NUMBER},
        {"brand": "a" * 21},
    ],
)
def test_a_card_cannot_contain_a_card_number(fields: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="is not"):
        PaymentCard(**fields)


@pytest.mark.parametrize(
    ("card", "read"),
    [
        ({"brand": "VISA", "last": "1881"}, PaymentCard("visa", "1881")),
        ({"brand": "American Express", "last": CARD_NUMBER}, PaymentCard("american_express")),
        ({"brand": "visa", "last": "81"}, PaymentCard("visa")),
        ({"brand": CARD_NUMBER, "last": "1881"}, None),
        ({"brand": None}, None),
        ("card", None),
        (None, None),
    ],
)
def test_undocumented_values_are_left_out(card: object, read: PaymentCard | None) -> None:
    assert read_card(card, last_four="last") == read


def test_stripe_reports_the_card_in_the_charge() -> None:
    card = {"brand": "visa", "last4": "4242", "wallet": {"type": "apple_pay", "dynamic_last4": "9999"}}
    charge = {"metadata": LABELS, "payment_method_details": {"type": "card", "card": card}}
    expected = ReportedCard("PAY-1", PaymentCard("visa", "4242", "apple_pay"))
    assert read_charged_card(charge, "test") == expected
    assert read_charged_card({**charge, "metadata": {}}, "test") is None
    debit = {"type": "sepa_debit", "sepa_debit": {"last4": "3000"}}
    assert read_charged_card({**charge, "payment_method_details": debit}, "test") is None


@pytest.mark.parametrize(
    ("source", "card"),
    [
        ({"card": {"brand": "VISA", "last_digits": "1881"}}, PaymentCard("visa", "1881")),
        ({"paypal": {"email_address": "a@b.example"}}, None),
        (None, None),
    ],
)
def test_paypal_reports_the_card_of_a_customer_without_an_account(
    source: dict[str, object] | None, card: PaymentCard | None
) -> None:
    order = {
        "id": "5O190127TN364715T",
        "status": "CREATED",
        "payment_source": source,
        "purchase_units": [{"custom_id": "PAY-1", "amount": {"currency_code": "USD", "value": "1.00"}}],
    }
    assert read_order(order, "test").payment.card == card
