"""Payloads as staff may see them: what opens a door, or names a card, is covered."""

import json
from collections.abc import Mapping
from typing import Any, Final

REDACTED: Final = "•••"
SECRET_NAMES: Final = (
    "secret", "token", "signature", "password", "authorization", "cookie",
    "card_number", "cvc", "cvv", "iban", "account_number", "payment_url", "client_key", "api_key",
)  # fmt: skip


def redact(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: REDACTED if _is_secret(name, each) else redact(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [redact(each) for each in value]
    return value


def redacted_json(value: Any) -> str:
    """Redacted and laid out, for a page."""
    return json.dumps(redact(value), ensure_ascii=False, indent=2, default=str)


def _is_secret(name: str, value: Any) -> bool:
    return bool(value) and any(secret in name.lower() for secret in SECRET_NAMES)
