"""The newest close of each chain, to be kept outside of the database.

An owner of the database can change a closed day and delete its closes as well: the platform then closes and signs the
changed days anew, and the chain is whole again. A digest that was kept outside shows it.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from ledger.closes import ChainBreak, ChainKey
from ledger.models import DailyClose


@dataclass(frozen=True, slots=True)
class ChainHead:
    """One line of text: environment, currency, day and digest."""

    chain: ChainKey
    day: dt.date
    chain_digest: str

    def __str__(self) -> str:
        return f"{self.chain.environment} {self.chain.currency} {self.day} {self.chain_digest}"


def list_heads() -> list[ChainHead]:
    newest = DailyClose.objects.order_by("environment", "currency", "-day").distinct(
        "environment", "currency"
    )
    return [
        ChainHead(ChainKey(close.environment, close.currency), close.day, close.chain_digest)
        for close in newest
    ]


def read_heads(text: str) -> list[ChainHead]:
    """Reads the lines of `list_heads`, of one day or of many. Raises `ValueError`, which names the line."""
    heads = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            environment, currency, day, digest = line.split()
            heads.append(ChainHead(ChainKey(environment, currency), dt.date.fromisoformat(day), digest))
        except ValueError as error:
            raise ValueError(f"line {number} is not 'environment currency day digest'") from error
    return heads


def find_changed_heads(heads: Iterable[ChainHead]) -> list[ChainBreak]:
    """Names each kept head whose day has another digest by now, or no close."""
    found = []
    for head in heads:
        close = DailyClose.objects.filter(
            environment=head.chain.environment, currency=head.chain.currency, day=head.day
        ).first()
        if close is None:
            found.append(ChainBreak(head.day, head.chain, "its close was kept, and is gone"))
        elif close.chain_digest != head.chain_digest:
            problem = f"another digest was kept: this close is of {close.closed_at:%Y-%m-%d %H:%M} UTC"
            found.append(ChainBreak(head.day, head.chain, problem))
    return found
