"""Reads a search term: a text, and what it can also be (an amount, an amount and the last four digits
of a card, the beginning of an id)."""

import re
import uuid
from dataclasses import dataclass
from decimal import Decimal

from common.money import EXPONENTS, MAX_AMOUNT_MINOR

MAX_LENGTH = 255  # the longest number of a channel
_AMOUNT = re.compile(
    r"(?P<before>[A-Za-z]{3})?\s*(?P<number>[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]{1,3})?|[0-9]{1,12}(?:\.[0-9]{1,3})?)"
    r"\s*(?P<after>[A-Za-z]{3})?"
)
# An amount and the last four digits of a card, in either order; digits that come first need their dots.
_CARD_LAST = re.compile(r"(?P<amount>[^•*·]*[^•*·\s])\s+(?:[•*·]{1,12}\s*)?(?P<digits>[0-9]{4})")
_CARD_FIRST = re.compile(r"[•*·]{1,12}\s*(?P<digits>[0-9]{4})\s+(?P<amount>\S.*)")
_ID = re.compile(r"[0-9a-f]{6,32}")


@dataclass(frozen=True, slots=True)
class IdRange:
    """The UUIDs that begin with what was typed."""

    first: uuid.UUID
    last: uuid.UUID


@dataclass(frozen=True, slots=True)
class Term:
    text: str
    amounts: tuple[tuple[str, int], ...] = ()  # currency and minor units
    ids: IdRange | None = None
    card_last_four: str = ""  # with the amounts: payments of this card alone


def parse_term(typed: str) -> Term | None:
    """Returns None when nothing can have this name: it is empty, too long, or has a character that no text has."""
    text = " ".join(typed.split())
    if not text or len(text) > MAX_LENGTH or "\0" in text:
        return None
    for pattern in (_CARD_FIRST, _CARD_LAST):
        if (found := pattern.fullmatch(text)) and (amounts := _parse_amounts(found["amount"])):
            return Term(text, amounts, card_last_four=found["digits"])
    return Term(text, _parse_amounts(text), _parse_ids(text))


def _parse_amounts(text: str) -> tuple[tuple[str, int], ...]:
    """`108` is 108.00 USD, 108 JPY and 108.000 KWD; `usd 108.00` is only the first."""
    found = _AMOUNT.fullmatch(text)
    if found is None or (found["before"] and found["after"]):
        return ()
    named = (found["before"] or found["after"] or "").upper()
    if named and named not in EXPONENTS:
        return ()
    major = Decimal(found["number"].replace(",", ""))
    amounts = []
    for currency, exponent in EXPONENTS.items():
        minor = major.scaleb(exponent)
        if named in ("", currency) and minor == minor.to_integral_value() and 0 < minor <= MAX_AMOUNT_MINOR:
            amounts.append((currency, int(minor)))
    return tuple(amounts)


def _parse_ids(text: str) -> IdRange | None:
    digits = text.lower().replace("-", "")
    if not _ID.fullmatch(digits):
        return None
    return IdRange(uuid.UUID(digits.ljust(32, "0")), uuid.UUID(digits.ljust(32, "f")))
