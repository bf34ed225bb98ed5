"""Reads the file of a daily statement of trades: a zip with two CSV files in GBK, the trades and their sums by store.

Lines that begin with `#` frame the tables. Those below the trades state the number of payments and refunds, and what
the merchant received. Cells have no quotes, so that a comma in a product's name is one more cell.
"""

import io
import re
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, BinaryIO

from channels.base import UnexpectedFormat

# The kinds of trades (业务类型).
PAYMENT, REFUND = "交易", "退款"
SUBJECT = "商品名称"
MAX_CSV_BYTES = 4 * 1024**3
MAX_LINE_CHARACTERS = 20_000
_ENCODING = "gb18030"  # GBK with its later additions
_DETAILS, _SUMS, _END = "#支付宝业务明细查询", "#支付宝业务汇总查询", "业务明细列表结束"
_STATED = re.compile(r"#(交易|退款)合计：(\d+)笔，商家实收(?:退款)?共(-?[\d.]+)元")
_PERIOD = re.compile(r"起始日期：\[(\d{4})年(\d{2})月(\d{2})日")
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.ASCII)
# What the zip's and the text's readers raise for bytes that are none.
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeDecodeError)
Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StatedTrades:
    """What the file states about its payments, or about its refunds. `received` is in yuan."""

    count: int
    received: str


class AlipayStatementReader:
    """Reads the rows of a stream.

    `first_day` (such as 2026-11-27) is known with the first row. `stated`, by `PAYMENT` and `REFUND`, and `sums`, the
    row 合计 of the file of sums, are known after all rows. Each may be missing in the file, and is then empty.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.first_day = ""
        self.stated: dict[str, StatedTrades] = {}
        self.sums: Row = {}

    def read_rows(self, columns: Collection[str]) -> Iterator[tuple[int, Row]]:
        """Yields each trade with the number of its line. Raises `UnexpectedFormat` for a file that is damaged or
        incomplete, or has not all of these columns."""
        has_details = False
        try:
            with zipfile.ZipFile(self._file) as archive:
                for entry in archive.infolist():
                    if entry.file_size > MAX_CSV_BYTES:
                        raise UnexpectedFormat("the zip has a file that is too large")
                    with archive.open(entry) as raw:
                        lines = _Lines(raw)
                        title = lines.read().strip()
                        if title == _DETAILS:
                            has_details = True
                            yield from self._read_details(lines, columns)
                        elif title == _SUMS:
                            self.sums = _read_sums(lines)
        except _DAMAGED as error:
            raise UnexpectedFormat(f"the zip is damaged: {error}") from error
        if not has_details:
            raise UnexpectedFormat("the zip has no file of trades")

    def _read_details(self, lines: "_Lines", columns: Collection[str]) -> Iterator[tuple[int, Row]]:
        header: list[str] = []
        has_ended = False
        while line := lines.read():
            if line.startswith("#"):
                has_ended = has_ended or _END in line
                self._read_frame(line)
            elif line.strip():
                cells = line.rstrip("\r\n").split(",")
                if header:
                    yield lines.number, _build_row(header, cells, lines.number)
                else:
                    header = [cell.strip() for cell in cells]
                    _require_columns({*columns, SUBJECT}, header, lines.number)
        if not has_ended:
            raise UnexpectedFormat("the file of trades has no totals: it is incomplete")

    def _read_frame(self, line: str) -> None:
        if period := _PERIOD.search(line):
            self.first_day = "-".join(period.groups())
        for kind, count, received in _STATED.findall(line):
            self.stated[kind] = StatedTrades(int(count), received)


class _Lines:
    def __init__(self, raw: IO[bytes]) -> None:
        self._text = io.TextIOWrapper(raw, _ENCODING, newline="\n")
        self.number = 0

    def read(self) -> str:
        """Empty at the end of the file; an empty line is its line break."""
        self.number += 1
        line = self._text.readline(MAX_LINE_CHARACTERS)
        if "\0" in line or len(line) == MAX_LINE_CHARACTERS:
            raise UnexpectedFormat(f"line {self.number}: it is too long or has a NUL")
        return line


def _read_sums(lines: _Lines) -> Row:
    header: list[str] = []
    while line := lines.read():
        cells = [cell.strip() for cell in line.split(",")]
        if line.startswith("#"):
            continue
        if not header:
            header = cells
        elif cells[0] == "合计":
            return dict(zip(header, cells, strict=False))
    return {}


def _require_columns(columns: Collection[str], header: Sequence[str], number: int) -> None:
    if missing := sorted(set(columns) - set(header)):
        raise UnexpectedFormat(f"line {number}: there is no column {missing[0]}")


def _build_row(header: Sequence[str], cells: Sequence[str], number: int) -> Row:
    """Cells end with a tab, so that spreadsheets do not round long numbers."""
    joined = _rejoin_subject(header, cells, number)
    return {name: cell.strip() for name, cell in zip(header, joined, strict=False)}


def _rejoin_subject(header: Sequence[str], cells: Sequence[str], number: int) -> Sequence[str]:
    """The name of the goods ends before the first cell that is a time; commas in the remark are left over."""
    start = header.index(SUBJECT)
    extra_cells = len(cells) - len(header)
    for joined in range(extra_cells + 1):
        after = start + joined + 1
        if _TIME.fullmatch(cells[after].strip()):
            return [*cells[:start], ",".join(cells[start:after]), *cells[after:]]
    raise UnexpectedFormat(f"line {number}: {len(cells)} cells under {len(header)} names")
