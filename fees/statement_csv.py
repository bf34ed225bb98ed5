"""The CSV file of a merchant's statement. The same ledger gives the same bytes, so the digest of a statement proves its
file."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from common.clock import rfc3339
from common.money import to_major_text
from common.spreadsheets import MARK, escape_formula, format_csv
from fees.statement_lines import MerchantStatementLine

COLUMNS: Final = (
    "created_at",
    "event",
    "source",
    "channel",
    "held_by",
    "currency",
    "amount",
    "fee",
    "net",
    "balance",
    "id",
)
_LINES_AT_ONCE: Final = 500


def write_csv(
    lines: Iterable[MerchantStatementLine], *, opening_minor: int, currency: str
) -> Iterator[bytes]:
    """Streams the file: a heading, the opening balance, one line for each transfer, the closing balance."""
    balance_minor = opening_minor
    yield (MARK + format_csv([COLUMNS, _balance_row("opening_balance", balance_minor, currency)])).encode()
    rows = iter(lines)
    while chunk := list(islice(rows, _LINES_AT_ONCE)):
        formatted = []
        for line in chunk:
            balance_minor += line.net_minor
            formatted.append(_line_row(line, balance_minor, currency))
        yield format_csv(formatted).encode()
    yield format_csv([_balance_row("closing_balance", balance_minor, currency)]).encode()


def _line_row(line: MerchantStatementLine, balance_minor: int, currency: str) -> tuple[str, ...]:
    amounts = (line.amount_minor, line.fee_minor, line.net_minor, balance_minor)
    return (
        rfc3339(line.created_at) or "",
        line.event.value,
        escape_formula(line.source),
        escape_formula(line.channel),
        "merchant" if line.is_own_account else "platform",
        currency,
        # Numbers, with a minus when they left the balance: no text of another person.
        *(to_major_text(each, currency) for each in amounts),
        str(line.transfer_id),
    )


def _balance_row(name: str, balance_minor: int, currency: str) -> tuple[str, ...]:
    return ("", name, "", "", "", currency, "", "", "", to_major_text(balance_minor, currency), "")
