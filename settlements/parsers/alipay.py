"""Alipay's statement of trades: a zip with two CSV files in GBK, the trades and their sums by store.

Lines that begin with `#` frame the tables; the last ones state how many payments and refunds there are, and how much.
Amounts and fees (服务费) of refunds and charges are signed: a fee that Alipay keeps is negative. Cells have no quotes,
so that a comma in a product's name is one more cell.
"""

import datetime as dt
import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, BinaryIO
from zoneinfo import ZoneInfo

from channels.alipay.fields import from_alipay_number
from channels.alipay.refunds import build_refund_no
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

BEIJING = ZoneInfo("Asia/Shanghai")
CURRENCY = "CNY"
MAX_CSV_BYTES = 4 * 1024**3
MAX_LINE_CHARACTERS = 20_000
_ENCODING = "gb18030"  # GBK with its later additions
_DETAILS, _SUMMARY, _END = "#支付宝业务明细查询", "#支付宝业务汇总查询", "业务明细列表结束"
_PAYMENT, _REFUND = "交易", "退款"
_TOTALS = re.compile(r"#(交易|退款)合计：(\d+)笔，商家实收(?:退款)?共(-?[\d.]+)元")
_PERIOD = re.compile(r"起始日期：\[(\d{4})年(\d{2})月(\d{2})日")
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeDecodeError)
_REQUIRED = (
    "支付宝交易号",
    "商户订单号",
    "业务类型",
    "商品名称",
    "完成时间",
    "商家实收（元）",
    "服务费（元）",
    "退款批次号/请求号",
)
_PRIVATE = ("对方账户",)  # of the customer: not stored
Row = Mapping[str, str]


def parse_trades(file: BinaryIO, identity: StatementIdentity) -> Iterator[Parsed]:
    sums = {_PAYMENT: Sums(), _REFUND: Sums()}
    has_details = False
    try:
        with zipfile.ZipFile(file) as archive:
            summary = _read_summary(archive)
            for entry in archive.infolist():
                with archive.open(entry) as raw:
                    lines = _Lines(raw)
                    if lines.read().strip() == _DETAILS:
                        has_details = True
                        yield from _read_details(lines, identity, sums)
    except _DAMAGED as error:
        raise StatementRefused(f"the zip is damaged: {error}") from error
    if not has_details:
        raise StatementRefused("the zip has no file of trades")
    paid, refunded = sums[_PAYMENT], sums[_REFUND]
    fee_minor = paid.fee_minor + refunded.fee_minor
    if summary is not None:
        compare_total("交易订单总笔数", int(summary["交易订单总笔数"]), paid.count)
        compare_total("退款订单总笔数", int(summary["退款订单总笔数"]), refunded.count)
        stated_fee = -read_amount(summary["服务费（元）"], CURRENCY, 0, "服务费（元）")
        compare_total("服务费（元）", stated_fee, fee_minor)
    yield StatedTotals(
        {
            CURRENCY: {
                "count": paid.count + refunded.count,
                "gross": paid.gross_minor + refunded.gross_minor,
                "fee": fee_minor,
            }
        }
    )


class _Lines:
    def __init__(self, raw: IO[bytes]) -> None:
        self._text = io.TextIOWrapper(raw, _ENCODING, newline="\n")
        self.number = 0

    def read(self) -> str:
        """Empty at the end of the file; an empty line is its line break."""
        self.number += 1
        line = self._text.readline(MAX_LINE_CHARACTERS)
        if "\0" in line or len(line) == MAX_LINE_CHARACTERS:
            raise StatementRefused("the line is too long or has a NUL", self.number)
        return line


def _read_summary(archive: zipfile.ZipFile) -> Row | None:
    """The row 合计 of the other file; None when there is none."""
    for entry in archive.infolist():
        if entry.file_size > MAX_CSV_BYTES:
            raise StatementRefused("the zip has a file that is too large")
        with archive.open(entry) as raw:
            lines = _Lines(raw)
            if lines.read().strip() == _SUMMARY:
                header: list[str] = []
                while line := lines.read():
                    cells = [cell.strip() for cell in line.split(",")]
                    if line.startswith("#"):
                        continue
                    if not header:
                        header = cells
                    elif cells[0] == "合计":
                        return _check_summary(dict(zip(header, cells, strict=False)))
    return None


def _check_summary(row: Row) -> Row:
    for name in ("交易订单总笔数", "退款订单总笔数"):
        if not row.get(name, "").isdecimal():
            raise StatementRefused(f"the total '{name}' is missing in the file of sums")
    if "服务费（元）" not in row:
        raise StatementRefused("the total '服务费（元）' is missing in the file of sums")
    return row


def _read_details(lines: _Lines, identity: StatementIdentity, sums: dict[str, Sums]) -> Iterator[ParsedLine]:
    header: list[str] = []
    stated: dict[str, tuple[int, int]] = {}
    has_ended = False
    while line := lines.read():
        if line.startswith("#"):
            has_ended = has_ended or _END in line
            _check_day(line, identity, lines.number)
            for kind, count, amount in _TOTALS.findall(line):
                stated[kind] = int(count), read_amount(amount, CURRENCY, lines.number, f"{kind}合计")
        elif line.strip():
            cells = line.rstrip("\r\n").split(",")
            if not header:
                header = [cell.strip() for cell in cells]
            else:
                yield _build_line(_zip(header, cells, lines.number), lines.number, sums)
    if not has_ended or set(stated) != {_PAYMENT, _REFUND}:
        raise StatementRefused("the file of trades has no totals: it is incomplete")
    for kind, (count, amount) in stated.items():
        compare_total(f"{kind}合计（笔）", count, sums[kind].count)
        compare_total(f"{kind}合计（商家实收）", amount, sums[kind].gross_minor)


def _check_day(line: str, identity: StatementIdentity, number: int) -> None:
    found = _PERIOD.search(line)
    if found and found.groups() != (f"{identity.day:%Y}", f"{identity.day:%m}", f"{identity.day:%d}"):
        raise StatementRefused(
            f"the statement is of {'-'.join(found.groups())}, not of {identity.day}", number
        )


def _build_line(row: Row, number: int, sums: dict[str, Sums]) -> ParsedLine:
    kind = row["业务类型"]
    if kind not in sums:
        raise StatementRefused(f"业务类型 '{kind[:30]}' is unknown", number)
    is_refund = kind == _REFUND
    gross = read_amount(row["商家实收（元）"], CURRENCY, number, "商家实收（元）")
    fee = -read_amount(row["服务费（元）"], CURRENCY, number, "服务费（元）")
    sums[kind].add(gross, fee)
    trade_no, order_no = row["支付宝交易号"], row["商户订单号"]
    number_there = (row["退款批次号/请求号"] or order_no) if is_refund else order_no
    return ParsedLine(
        kind=LineKind.REFUND if is_refund else LineKind.PAYMENT,
        gross_minor=gross,
        fee_minor=fee,
        currency=CURRENCY,
        occurred_at=_read_time(row["完成时间"], number),
        raw={name: value for name, value in row.items() if name not in _PRIVATE},
        reference=from_alipay_number(number_there),
        channel_no=build_refund_no(trade_no, number_there) if is_refund else trade_no,
    )


def _zip(header: Sequence[str], cells: Sequence[str], number: int) -> Row:
    for name in _REQUIRED:
        if name not in header:
            raise StatementRefused(f"there is no column {name}", number)
    joined = _rejoin_subject(header, cells, number)
    return {name: cell.strip() for name, cell in zip(header, joined, strict=False)}


def _rejoin_subject(header: Sequence[str], cells: Sequence[str], number: int) -> Sequence[str]:
    """The name of the goods ends before the first cell that is a time; commas in the remark are left over."""
    extra = len(cells) - len(header)
    start = header.index("商品名称")
    for joined in range(extra + 1):
        after = start + joined + 1
        if _is_time(cells[after]):
            return [*cells[:start], ",".join(cells[start:after]), *cells[after:]]
    raise StatementRefused(f"{len(cells)} cells under {len(header)} names", number)


def _is_time(cell: str) -> bool:
    return re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", cell.strip()) is not None


def _read_time(text: str, number: int) -> dt.datetime:
    try:
        return dt.datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=BEIJING)
    except ValueError:
        raise StatementRefused(f"'{text[:40]}' is not a time", number) from None
