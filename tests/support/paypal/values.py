"""Amounts, times and links in requests to PayPal and in its answers."""

import datetime as dt
import re
from decimal import Decimal

from tests.support.paypal.messages import ErrorResponse, refuse
from tests.support.paypal.specification import JsonObject

# developer.paypal.com/api/rest/reference/currency-codes
CURRENCIES = frozenset(
    "AUD BRL CAD CNY CZK DKK EUR HKD HUF ILS JPY MYR MXN TWD NZD NOK PHP PLN GBP SGD SEK CHF THB USD".split()
)
WITHOUT_DECIMALS = frozenset({"HUF", "JPY", "TWD"})


def read_amount(amount: JsonObject) -> JsonObject:
    return {"currency_code": amount["currency_code"], "value": amount["value"]}


def require_amount(amount: JsonObject) -> None:
    """Issues of the Orders and Payments reference; three decimals exist for no currency of PayPal's."""
    currency, value = amount["currency_code"], amount["value"]
    if not re.fullmatch(r"-?\d{1,15}(\.\d+)?", value):
        raise ErrorResponse(400, "INVALID_PARAMETER_SYNTAX", value)
    if currency not in CURRENCIES:
        raise refuse("CURRENCY_NOT_SUPPORTED")
    if Decimal(value) <= 0:
        raise refuse("CANNOT_BE_ZERO_OR_NEGATIVE")
    decimals = len(value.partition(".")[2])
    if currency in WITHOUT_DECIMALS and decimals:
        raise refuse("DECIMALS_NOT_SUPPORTED")
    if decimals > 2:
        raise refuse("DECIMAL_PRECISION")


def build_link(href: str, rel: str, method: str = "GET") -> JsonObject:
    return {"href": href, "rel": rel, "method": method}


def format_time(time: dt.datetime) -> str:
    return time.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
