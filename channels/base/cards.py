"""The card that paid, as far as a channel tells it. Never more than its last four digits."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_NAME = 20
# No digit: a brand or wallet is never a card number.
_NAME = re.compile(rf"[a-z][a-z_]{{0,{MAX_NAME - 1}}}")
_LAST_FOUR = re.compile("[0-9]{4}")


@dataclass(frozen=True, slots=True)
class PaymentCard:
    """`brand` and `wallet` are lower-case names such as `visa` and `apple_pay`; `wallet` is empty without one. Raises
    `ValueError` for anything else, above all for more than four digits."""

    brand: str
    last_four: str = ""
    wallet: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.brand):
            raise ValueError("brand is not the name of a card brand")
        if self.last_four and not _LAST_FOUR.fullmatch(self.last_four):
            raise ValueError("last_four is not four digits")
        if self.wallet and not _NAME.fullmatch(self.wallet):
            raise ValueError("wallet is not the name of a wallet")


def read_card(fields: Any, *, last_four: str, wallet: object = "") -> PaymentCard | None:
    """Reads the card of a channel's object; `last_four` names its field. A value that is not as published is left out:
    no payment fails because of it."""
    if not isinstance(fields, Mapping):
        return None
    brand, digits = (str(fields.get(name) or "") for name in ("brand", last_four))
    named = _to_name(brand)
    if not named:
        return None
    return PaymentCard(named, digits if _LAST_FOUR.fullmatch(digits) else "", _to_name(str(wallet or "")))


def _to_name(text: str) -> str:
    name = text.strip().lower().replace(" ", "_").replace("-", "_")
    return name if _NAME.fullmatch(name) else ""
