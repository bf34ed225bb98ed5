"""Reads fields of Stripe's objects. They are plain dictionaries, so that the same code reads answers and webhooks."""

from collections.abc import Mapping
from typing import Any

from channels.base import UnexpectedFormat

StripeJson = Mapping[str, Any]


def read_text(fields: StripeJson, name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise UnexpectedFormat(f"{name} is missing")
    return value


def read_number(fields: StripeJson, name: str) -> int:
    value = fields.get(name)
    if type(value) is not int:
        raise UnexpectedFormat(f"{name} is not a whole number")
    return value


def read_id(value: object) -> str:
    """Returns the id from a field that holds an id or the expanded object (docs.stripe.com/api/expanding_objects)."""
    return str(value.get("id") or "") if isinstance(value, Mapping) else str(value or "")
