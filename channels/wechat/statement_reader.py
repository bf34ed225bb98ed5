"""Reads the file of a trade bill or fund flow bill: CSV in UTF-8 whose values begin with a backtick.

So a comma within a product's name separates nothing. After the rows come a line with the names of the totals and a line
with their values. pay.weixin.qq.com/docs/merchant/products/bill-download/format-trade.html
"""

import io
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from channels.base import UnexpectedFormat

MAX_LINE_CHARACTERS = 20_000
Row = Mapping[str, str]


class WechatStatementReader:
    """Reads the rows, then the totals, of a stream. All methods raise `UnexpectedFormat`, which names the line."""

    def __init__(self, file: BinaryIO) -> None:
        # Products' names may have line breaks of other kinds.
        self._lines = io.TextIOWrapper(file, "utf-8-sig", newline="\n")
        self._number = 0
        self._line_after_rows = ""

    def read_rows(self) -> Iterator[tuple[int, Row]]:
        """Yields each row with the number of its line."""
        names = self._next_line().split(",")
        while (line := self._next_line()).startswith("`"):
            yield self._number, self._zip(names, line)
        self._line_after_rows = line

    def read_totals(self) -> tuple[int, Row]:
        """Returns the totals with the number of their line."""
        if not self._line_after_rows:
            raise UnexpectedFormat("the file has no totals: it is incomplete")
        totals = self._zip(self._line_after_rows.split(","), self._next_line())
        return self._number, totals

    def _next_line(self) -> str:
        self._number += 1
        try:
            line = self._lines.readline(MAX_LINE_CHARACTERS)
        except UnicodeDecodeError as error:
            raise UnexpectedFormat(f"line {self._number}: the file is not UTF-8") from error
        if "\0" in line or len(line) == MAX_LINE_CHARACTERS:
            raise UnexpectedFormat(f"line {self._number}: it is too long or has a NUL")
        return line.rstrip("\r\n")

    def _zip(self, names: list[str], line: str) -> Row:
        values = line.removeprefix("`").rstrip(",").split(",`")
        if len(values) != len(names):
            raise UnexpectedFormat(f"line {self._number}: {len(values)} values under {len(names)} names")
        return dict(zip(names, values, strict=True))
