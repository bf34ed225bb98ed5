"""Downloads and reads Alipay's daily statements of trades: a zip with CSV files in GBK.

docs.open.alipay.com/api_1/alipay.data.dataservice.bill.downloadurl.query: the statement of a Beijing day exists from
about 9 o'clock of the next day. The address of the download is valid for 30 seconds.
"""

import csv
import datetime as dt
import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import structlog

from channels.alipay.amounts import from_yuan
from channels.alipay.fields import BEIJING, from_beijing_text, read_text
from channels.alipay.gateway import Gateway
from channels.base import UnexpectedFormat

log = structlog.get_logger(__name__)

DOWNLOAD_URL = "alipay.data.dataservice.bill.downloadurl.query"
_NO_STATEMENT = frozenset({"BILL_NOT_EXIST", "ISP.BILL_NOT_EXIST"})
# So long after the end of its day a statement certainly exists, if there was any trade.
CERTAIN_AFTER = dt.timedelta(days=1)
MAX_CSV_BYTES = 1024 * 1024 * 1024
# What the zip and CSV readers raise for bytes that are none.
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    csv.Error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    UnicodeDecodeError,
)
# GBK with its later additions.
_ENCODING = "gb18030"

_TITLE = "#支付宝业务明细查询"
_END = "业务明细列表结束"
_COUNTS = re.compile(r"#(交易|退款)合计：(\d+)笔")
TRADE, REFUND = "交易", "退款"
_COLUMNS = {
    "trade_no": "支付宝交易号",
    "out_trade_no": "商户订单号",
    "kind": "业务类型",
    "subject": "商品名称",
    "completed_at": "完成时间",
    "amount": "订单金额（元）",
    "request_no": "退款批次号/请求号",
}


class StatementMissing(Exception):
    """The day's statement does not exist yet."""


@dataclass(frozen=True, slots=True)
class StatementRow:
    """One payment (`TRADE`) or refund (`REFUND`). The amount of a refund is positive."""

    kind: str
    trade_no: str
    out_trade_no: str
    request_no: str
    amount_minor: int
    completed_at: dt.datetime


def list_days(since: dt.datetime, until: dt.datetime) -> list[dt.date]:
    """The Beijing days that the window touches."""
    day = since.astimezone(BEIJING).date()
    days = []
    while dt.datetime.combine(day, dt.time(), BEIJING) < until:
        days.append(day)
        day += dt.timedelta(days=1)
    return days


def download_statement(gateway: Gateway, day: dt.date) -> Iterator[StatementRow]:
    """Raises what `Gateway.call` raises, `UnexpectedFormat` and `StatementMissing`."""
    zipped = download_file(gateway, day)
    if zipped is not None:
        yield from read_statement(zipped)


def download_file(gateway: Gateway, day: dt.date) -> bytes | None:
    """Downloads the zip; None for a day without trades. Raises what `Gateway.call` raises, `UnexpectedFormat` and
    `StatementMissing`."""
    answer = gateway.call(DOWNLOAD_URL, {"bill_type": "trade", "bill_date": day.isoformat()})
    if answer.sub_code.upper() in _NO_STATEMENT:
        # Also the answer for a day without trades.
        if _read_now() < dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), BEIJING) + CERTAIN_AFTER:
            raise StatementMissing(f"Alipay has no statement of {day} yet")
        return None
    if not answer.is_success:
        raise UnexpectedFormat(f"no statement of {day}: {answer.code} {answer.sub_code}")
    return gateway.download(read_text(answer.fields, "bill_download_url"))


def read_statement(zipped: bytes) -> Iterator[StatementRow]:
    """Reads the details of a statement; it also contains a file with sums. Raises `UnexpectedFormat`."""
    has_details = False
    try:
        with zipfile.ZipFile(io.BytesIO(zipped)) as archive:
            for entry in archive.infolist():
                if entry.file_size > MAX_CSV_BYTES:
                    raise UnexpectedFormat("the statement is too large")
                with archive.open(entry) as raw:
                    lines = io.TextIOWrapper(raw, _ENCODING, newline="")
                    if next(lines, "").strip() == _TITLE:
                        has_details = True
                        yield from _read_details(lines)
    except _DAMAGED as error:
        raise UnexpectedFormat(f"the statement is damaged: {error}") from error
    if not has_details:
        raise UnexpectedFormat("the statement has no details")


def _read_details(lines: Iterator[str]) -> Iterator[StatementRow]:
    """Lines that begin with `#` frame the table. The last ones say how many rows it has."""
    header: list[str] = []
    read, announced = {TRADE: 0, REFUND: 0}, {}
    has_ended = False
    for cells in csv.reader(lines):
        if not cells or cells[0].startswith("#"):
            line = ",".join(cells)
            has_ended = has_ended or _END in line
            announced.update({kind: int(count) for kind, count in _COUNTS.findall(line)})
        elif not header:
            header = [cell.strip() for cell in cells]
        else:
            row = _read_row(header, cells)
            if row.kind in read:
                read[row.kind] += 1
                yield row
            else:
                log.warning("alipay.unknown_statement_row", kind=row.kind, trade_no=row.trade_no)
    if not has_ended or any(read[kind] != count for kind, count in announced.items()):
        raise UnexpectedFormat(f"the statement is not complete: {read} rows, {announced} announced")


def _read_row(header: Sequence[str], cells: Sequence[str]) -> StatementRow:
    """Cells end with a tab, so that spreadsheets do not round long numbers."""
    cells = _rejoin_subject(header, cells)
    values = {}
    for name, title in _COLUMNS.items():
        if title not in header:
            raise UnexpectedFormat(f"the statement has no column {title}")
        values[name] = cells[header.index(title)].strip()
    return StatementRow(
        kind=values["kind"],
        trade_no=values["trade_no"],
        out_trade_no=values["out_trade_no"],
        request_no=values["request_no"],
        amount_minor=abs(from_yuan(values["amount"])),
        completed_at=from_beijing_text(values["completed_at"]),
    )


def _read_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _rejoin_subject(header: Sequence[str], cells: Sequence[str]) -> Sequence[str]:
    """Joins the name of the goods when it contains commas: the file has no quotes. The time after it shows where it
    ends; commas in the last column, the remark, are left over."""
    if len(cells) == len(header):
        return cells
    start = header.index(_COLUMNS["subject"])
    extra_cells = len(cells) - len(header)
    for joined in range(extra_cells + 1):
        after = start + joined + 1
        if after < len(cells) and _is_time(cells[after]):
            return [*cells[:start], ",".join(cells[start:after]), *cells[after:]]
    raise UnexpectedFormat(f"a row has {len(cells)} cells, the header {len(header)}")


def _is_time(cell: str) -> bool:
    try:
        from_beijing_text(cell)
    except UnexpectedFormat:
        return False
    return True
