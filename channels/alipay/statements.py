"""Downloads Alipay's daily statements of trades, and reads their payments and refunds.

docs.open.alipay.com/api_1/alipay.data.dataservice.bill.downloadurl.query: the statement of a Beijing day exists from
about 9 o'clock of the next day. The address of the download is valid for 30 seconds.
"""

import datetime as dt
import io
from collections.abc import Iterator
from dataclasses import dataclass

import structlog

from channels.alipay.amounts import from_yuan
from channels.alipay.fields import BEIJING, from_beijing_text, read_text
from channels.alipay.gateway import Gateway
from channels.alipay.statement_reader import PAYMENT, REFUND, AlipayStatementReader, Row
from channels.base import UnexpectedFormat

log = structlog.get_logger(__name__)

DOWNLOAD_URL = "alipay.data.dataservice.bill.downloadurl.query"
_NO_STATEMENT = frozenset({"BILL_NOT_EXIST", "ISP.BILL_NOT_EXIST"})
# So long after the end of its day a statement certainly exists, if there was any trade.
CERTAIN_AFTER = dt.timedelta(days=1)
_COLUMNS = ("支付宝交易号", "商户订单号", "业务类型", "完成时间", "订单金额（元）", "退款批次号/请求号")


class StatementMissing(Exception):
    """The day's statement does not exist yet."""


@dataclass(frozen=True, slots=True)
class StatementRow:
    """One payment (`PAYMENT`) or refund (`REFUND`). The amount of a refund is positive."""

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
    """Reads the payments and refunds. Raises `UnexpectedFormat`, also when there are not as many as the file states."""
    statement = AlipayStatementReader(io.BytesIO(zipped))
    counts = {PAYMENT: 0, REFUND: 0}
    for _number, fields in statement.read_rows(_COLUMNS):
        row = _build_row(fields)
        if row.kind in counts:
            counts[row.kind] += 1
            yield row
        else:
            log.warning("alipay.unknown_statement_row", kind=row.kind, trade_no=row.trade_no)
    for kind, stated in statement.stated.items():
        if stated.count != counts[kind]:
            raise UnexpectedFormat(f"the file states {stated.count} rows of {kind}, and has {counts[kind]}")


def _build_row(fields: Row) -> StatementRow:
    return StatementRow(
        kind=fields["业务类型"],
        trade_no=fields["支付宝交易号"],
        out_trade_no=fields["商户订单号"],
        request_no=fields["退款批次号/请求号"],
        amount_minor=abs(from_yuan(fields["订单金额（元）"])),
        completed_at=from_beijing_text(fields["完成时间"]),
    )


def _read_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
