"""The payer and the means of payment: from the merchant's data about the customer, and the channel's reports."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.admin.cards import format_card
from gateway.models import Payment

MAX_CUSTOMER_FACTS: Final = 6


@dataclass(frozen=True, slots=True)
class Payer:
    """`customer` is what the merchant sent about them. `card` is empty where the channel tells none."""

    customer: Sequence[tuple[str, str]]
    payment_method: str
    card: str


def describe_payer(payment: Payment) -> Payer:
    customer = [
        (str(name), str(value))
        for name, value in payment.customer.items()
        if isinstance(value, str | int) and str(value)
    ]
    return Payer(customer[:MAX_CUSTOMER_FACTS], payment.payment_method, format_card(payment))
