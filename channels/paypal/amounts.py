"""Amounts at PayPal are texts of the major unit (developer.paypal.com/api/rest/reference/currency-codes)."""

import re
from collections.abc import Mapping
from typing import Any

from channels.base import UnexpectedFormat
from channels.paypal.fields import read_text
from common.money import EXPONENTS, to_major_text

# Without decimals at PayPal. HUF and TWD have two in ISO 4217, so that their amounts must be multiples of 100.
_WHOLE = ("HUF", "JPY", "TWD")
# PayPal's currencies. BRL, CNY and MYR only for accounts of their country.
CURRENCIES = tuple(
    "AUD BRL CAD CHF CNY CZK DKK EUR GBP HKD HUF ILS JPY MXN MYR NOK NZD PHP PLN SEK SGD THB TWD USD".split()
)
AMOUNT_STEPS = {currency: 10 ** EXPONENTS[currency] for currency in _WHOLE if EXPONENTS[currency]}
_VALUE = re.compile(r"(?P<sign>-?)(?P<whole>\d{1,15})(?:\.(?P<fraction>\d{1,3}))?", re.ASCII)


def to_money(amount_minor: int, currency: str) -> dict[str, str]:
    """`12345, "USD"` is `123.45`, `12300, "TWD"` is `123`. Raises `ValueError` for a part of what has no decimals."""
    value = to_major_text(amount_minor, currency)
    if currency in _WHOLE:
        value, _, fraction = value.partition(".")
        if fraction.strip("0"):
            raise ValueError(f"PayPal takes no decimals of {currency}")
    return {"currency_code": currency, "value": value}


def read_money(money: Any) -> tuple[int, str]:
    """Returns minor units and currency. Raises `UnexpectedFormat` for what the currency cannot have."""
    if not isinstance(money, Mapping):
        raise UnexpectedFormat("an amount is missing")
    currency, value = read_text(money, "currency_code").upper(), read_text(money, "value")
    found = _VALUE.fullmatch(value)
    if found is None or currency not in EXPONENTS:
        raise UnexpectedFormat(f"unknown amount {value!r} {currency!r}")
    exponent = EXPONENTS[currency]
    fraction = (found["fraction"] or "").rstrip("0")
    if len(fraction) > exponent:
        raise UnexpectedFormat(f"{currency} has no amount {value!r}")
    minor = int(found["whole"] + fraction.ljust(exponent, "0"))
    return (-minor if found["sign"] else minor), currency
