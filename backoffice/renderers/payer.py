"""Who paid, and how: from the merchant's data about the customer, and from what the channel reported.

Webhooks are stored without personal data (`common.redaction.CHANNEL_EVENTS`), so the last four digits of a card are
known only for channels that report them outside of those fields.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from common.sensitive_text import REDACTED
from gateway.models import ChannelEvent, Payment

MAX_EVENTS: Final = 20
MAX_DEPTH: Final = 8
MAX_CUSTOMER_FACTS: Final = 6
# Stripe: payment_method_details.card; PayPal: payment_source.card.
LAST_FOUR: Final = ("last4", "last_digits")
BRAND: Final = ("brand", "display_brand")


@dataclass(frozen=True, slots=True)
class Payer:
    """`customer` is what the merchant sent about them. `brand` and `last_four` are empty when not reported."""

    customer: Sequence[tuple[str, str]]
    payment_method: str
    brand: str
    last_four: str


def describe_payer(payment: Payment, events: Sequence[ChannelEvent]) -> Payer:
    """`events` are those of the payment, newest first."""
    card = next((card for event in events[:MAX_EVENTS] for card in _find_cards(event.payload)), {})
    customer = [
        (str(name), str(value))
        for name, value in payment.customer.items()
        if isinstance(value, str | int) and str(value)
    ]
    return Payer(
        customer[:MAX_CUSTOMER_FACTS], payment.payment_method, _read(card, BRAND), _read(card, LAST_FOUR)
    )


def _find_cards(value: Any, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    if depth > MAX_DEPTH:
        return
    if isinstance(value, Mapping):
        card = value.get("card")
        if isinstance(card, Mapping) and _read(card, BRAND):
            yield card
        for inner in value.values():
            yield from _find_cards(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _find_cards(inner, depth + 1)


def _read(card: Mapping[str, Any], names: Sequence[str]) -> str:
    found = (card.get(name) for name in names)
    return next((each for each in found if isinstance(each, str) and each and each != REDACTED), "")
