"""The CSV format of this platform, for channels without a parser (docs/SETTLEMENTS.md).

UTF-8, comma, one header. Amounts are decimals in major units. After the lines, one row `total` for each currency states
the number of lines and the sums.
"""

import csv
import datetime as dt
import io
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from settlements.models import LineKind
from settlements.parsers.base import (
    Parsed,
    ParsedLine,
    StatedTotals,
    StatementIdentity,
    StatementRefused,
    Sums,
    compare_total,
    read_amount,
)

COLUMNS = ("kind", "occurred_at", "currency", "gross", "fee", "net", "reference", "channel_no", "payout_no")
TOTAL = "total"  # its number of lines is in the column `reference`
MAX_FIELD_CHARACTERS = 255
_ONLY_FEE = (LineKind.FEE.value, LineKind.ROUNDING.value)


def parse(file: BinaryIO, _identity: StatementIdentity) -> Iterator[Parsed]:
    sums: dict[str, Sums] = defaultdict(Sums)
    stated: dict[str, dict[str, int]] = {}
    try:
        for number, row in _read_rows(file):
            currency = row["currency"]
            gross, fee, net = (
                read_amount(row[name], currency, number, name) for name in ("gross", "fee", "net")
            )
            if gross - fee != net:
                raise StatementRefused(
                    f"gross {row['gross']} less fee {row['fee']} is not net {row['net']}", number
                )
            if row["kind"] == TOTAL:
                stated[currency] = {"count": _read_count(row, number), "gross": gross, "fee": fee}
                continue
            if stated:
                raise StatementRefused("a line after the totals", number)
            sums[currency].add(gross, fee)
            yield _build_line(row, number, gross, fee)
    except (UnicodeDecodeError, csv.Error) as error:
        raise StatementRefused(f"the file is not CSV in UTF-8: {error}") from error
    for currency, total in stated.items():
        added = sums[currency]
        compare_total(f"{currency} lines", total["count"], added.count)
        compare_total(f"{currency} gross", total["gross"], added.gross_minor)
        compare_total(f"{currency} fee", total["fee"], added.fee_minor)
    if missing := set(sums) - set(stated):
        raise StatementRefused(f"there is no row 'total' for {', '.join(sorted(missing))}")
    yield StatedTotals(stated)


def _read_rows(file: BinaryIO) -> Iterator[tuple[int, Mapping[str, str]]]:
    text = io.TextIOWrapper(file, "utf-8-sig", newline="")
    reader = csv.reader(text, strict=True)
    header = tuple(next(reader, ()))
    if header != COLUMNS:
        raise StatementRefused(f"the header must be: {','.join(COLUMNS)}", 1)
    for cells in reader:
        if len(cells) != len(COLUMNS):
            raise StatementRefused(f"{len(cells)} cells under {len(COLUMNS)} names", reader.line_num)
        if any(len(cell) > MAX_FIELD_CHARACTERS or "\0" in cell for cell in cells):
            raise StatementRefused("a cell is too long or has a NUL", reader.line_num)
        yield reader.line_num, dict(zip(COLUMNS, cells, strict=True))


def _build_line(row: Mapping[str, str], number: int, gross_minor: int, fee_minor: int) -> ParsedLine:
    if row["kind"] not in LineKind.values:
        raise StatementRefused(f"the kind '{row['kind']}' is none of: {', '.join(LineKind.values)}", number)
    if row["kind"] in _ONLY_FEE and (gross_minor != 0 or fee_minor == 0):
        raise StatementRefused(
            f"gross {row['gross']} and fee {row['fee']}: a line of the kind '{row['kind']}' has its amount in the"
            " column 'fee', and gross 0",
            number,
        )
    try:
        occurred_at = dt.datetime.fromisoformat(row["occurred_at"])
    except ValueError:
        raise StatementRefused(f"occurred_at '{row['occurred_at']}' is not a time", number) from None
    if occurred_at.tzinfo is None:
        raise StatementRefused("occurred_at has no offset from UTC", number)
    return ParsedLine(
        kind=LineKind(row["kind"]),
        gross_minor=gross_minor,
        fee_minor=fee_minor,
        currency=row["currency"],
        occurred_at=occurred_at,
        raw=row,
        reference=row["reference"],
        channel_no=row["channel_no"],
        payout_no=row["payout_no"],
    )


def _read_count(row: Mapping[str, str], number: int) -> int:
    if not (row["reference"].isascii() and row["reference"].isdigit()):
        raise StatementRefused("a total has its number of lines in the column 'reference'", number)
    return int(row["reference"])
