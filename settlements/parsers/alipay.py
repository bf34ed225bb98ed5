"""Alipay's statement of trades.

Amounts and fees (服务费) of refunds and charges are signed: a fee that Alipay keeps is negative.
"""

import datetime as dt
from collections.abc import Iterator
from typing import BinaryIO
from zoneinfo import ZoneInfo

from channels.alipay.fields import from_alipay_number
from channels.alipay.refunds import build_refund_no
from channels.alipay.statement_reader import PAYMENT, REFUND, AlipayStatementReader, Row
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
    refuse_unexpected_formats,
)

BEIJING = ZoneInfo("Asia/Shanghai")
CURRENCY = "CNY"
_COLUMNS = (
    "支付宝交易号",
    "商户订单号",
    "业务类型",
    "商品名称",
    "完成时间",
    "商家实收（元）",
    "服务费（元）",
    "退款批次号/请求号",
)
_COUNTS = {PAYMENT: "交易订单总笔数", REFUND: "退款订单总笔数"}  # in the file of sums
_FEE = "服务费（元）"
_PRIVATE = ("对方账户",)  # of the customer: not stored


@refuse_unexpected_formats
def parse_trades(file: BinaryIO, identity: StatementIdentity) -> Iterator[Parsed]:
    statement = AlipayStatementReader(file)
    sums = {PAYMENT: Sums(), REFUND: Sums()}
    for number, row in statement.read_rows(_COLUMNS):
        _require_day(statement, identity)
        yield _build_line(row, number, sums)
    _require_day(statement, identity)
    _compare_stated(statement, sums)
    fee_minor = sums[PAYMENT].fee_minor + sums[REFUND].fee_minor
    _compare_sums(statement.sums, sums, fee_minor)
    yield StatedTotals(
        {
            CURRENCY: {
                "count": sums[PAYMENT].count + sums[REFUND].count,
                "gross": sums[PAYMENT].gross_minor + sums[REFUND].gross_minor,
                "fee": fee_minor,
            }
        }
    )


def _require_day(statement: AlipayStatementReader, identity: StatementIdentity) -> None:
    if statement.first_day not in ("", identity.day.isoformat()):
        raise StatementRefused(f"the statement is of {statement.first_day}, not of {identity.day}")


def _compare_stated(statement: AlipayStatementReader, sums: dict[str, Sums]) -> None:
    if set(statement.stated) != set(sums):
        raise StatementRefused("the file of trades has no totals: it is incomplete")
    for kind, stated in statement.stated.items():
        compare_total(f"{kind}合计（笔）", stated.count, sums[kind].count)
        received = read_amount(stated.received, CURRENCY, 0, f"{kind}合计")
        compare_total(f"{kind}合计（商家实收）", received, sums[kind].gross_minor)


def _compare_sums(row: Row, sums: dict[str, Sums], fee_minor: int) -> None:
    """Compares with the file of sums, where there is one."""
    if not row:
        return
    for kind, name in _COUNTS.items():
        if not row.get(name, "").isdecimal():
            raise StatementRefused(f"the total '{name}' is missing in the file of sums")
        compare_total(name, int(row[name]), sums[kind].count)
    if _FEE not in row:
        raise StatementRefused(f"the total '{_FEE}' is missing in the file of sums")
    compare_total(_FEE, -read_amount(row[_FEE], CURRENCY, 0, _FEE), fee_minor)


def _build_line(row: Row, number: int, sums: dict[str, Sums]) -> ParsedLine:
    kind = row["业务类型"]
    if kind not in sums:
        raise StatementRefused(f"业务类型 '{kind[:30]}' is unknown", number)
    is_refund = kind == REFUND
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


def _read_time(text: str, number: int) -> dt.datetime:
    try:
        return dt.datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=BEIJING)
    except ValueError:
        raise StatementRefused(f"'{text[:40]}' is not a time", number) from None
