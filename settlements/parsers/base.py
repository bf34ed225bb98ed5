"""The results of parsers, and their refusals."""

import datetime as dt
import functools
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, BinaryIO

from channels.base import UnexpectedFormat
from common.money import EXPONENTS
from settlements.models import LineKind

MAX_NUMBER = 2**53


class StatementRefused(Exception):
    """The file is damaged, incomplete, or does not add up. `line` is its line, None for the whole file."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(f"line {line}: {message}" if line is not None else message)
        self.line = line


@dataclass(frozen=True, slots=True)
class ParsedLine:
    """One movement. `gross_minor` is what the account gains before the fee, negative for a refund; `fee_minor` is what
    the channel keeps, negative when it gives a fee back."""

    kind: LineKind
    gross_minor: int
    fee_minor: int
    currency: str
    occurred_at: dt.datetime
    raw: Mapping[str, Any]
    reference: str = ""
    channel_no: str = ""
    line_no: str = ""
    payout_no: str = ""
    fee_rate_millionths: int | None = None

    @property
    def net_minor(self) -> int:
        return self.gross_minor - self.fee_minor


@dataclass(frozen=True, slots=True)
class PayoutItem:
    """A movement, in this file or in an earlier one, that a payout pays."""

    payout_no: str
    line_no: str


@dataclass(frozen=True, slots=True)
class StatedTotals:
    """The sums that the file itself states. It is the last thing that a parser yields: without it, a file is
    incomplete."""

    sums: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StatementIdentity:
    """One settlement statement: of an account at a channel, and of a day in the time zone of the channel."""

    channel: str
    environment: str
    channel_account_id: uuid.UUID | None
    day: dt.date


Parsed = ParsedLine | PayoutItem | StatedTotals
Parser = Callable[[BinaryIO, StatementIdentity], Iterator[Parsed]]


def refuse_unexpected_formats(parser: Parser) -> Parser:
    """Lets a parser raise `StatementRefused` where the reader of the channel's file raises `UnexpectedFormat`."""

    @functools.wraps(parser)
    def parse(file: BinaryIO, identity: StatementIdentity) -> Iterator[Parsed]:
        try:
            yield from parser(file, identity)
        except UnexpectedFormat as error:
            raise StatementRefused(str(error)) from error

    return parse


@dataclass(slots=True)
class Sums:
    """The sums of the lines in one currency."""

    count: int = 0
    gross_minor: int = 0
    fee_minor: int = 0

    def add(self, gross_minor: int, fee_minor: int = 0) -> None:
        self.count += 1
        self.gross_minor += gross_minor
        self.fee_minor += fee_minor


def read_amount(text: str, currency: str, line: int, name: str) -> int:
    """Reads an amount in major units, such as `-12.30`. Raises `StatementRefused` for a fraction of a minor unit."""
    scaled = read_decimal(text, line, name).scaleb(get_exponent(currency, line))
    if scaled != scaled.to_integral_value():
        raise StatementRefused(f"{name} '{text}' has a fraction of a minor unit of {currency}", line)
    return int(scaled)


def read_decimal(text: str, line: int, name: str) -> Decimal:
    try:
        value = Decimal(text.strip())
    except InvalidOperation:
        raise StatementRefused(f"{name} '{text[:50]}' is not an amount", line) from None
    if not value.is_finite() or abs(value) > MAX_NUMBER:
        raise StatementRefused(f"{name} '{text[:50]}' is not an amount", line)
    return value


def get_exponent(currency: str, line: int) -> int:
    if currency not in EXPONENTS:
        raise StatementRefused(f"the currency '{currency[:10]}' is unknown", line)
    return EXPONENTS[currency]


def compare_total(name: str, stated: object, added: object) -> None:
    """Raises `StatementRefused` with the name of the total."""
    if stated != added:
        raise StatementRefused(f"the total '{name}' is {stated}, and the lines add up to {added}")
