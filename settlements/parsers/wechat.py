"""WeChat Pay's trade bill and fund flow bill.

Columns: pay.weixin.qq.com/docs/merchant/products/bill-download/format-trade.html and …/format-fundflow.html. Fees have
five decimals, and refunds' fees are negative: the channel gives them back.

The account gets 应结订单金额 of a payment, and pays 退款金额 of a refund. With a coupon that the merchant funds itself
(免充值代金券) these are less than the order (订单金额) and than the requested refund (申请退款金额).
"""

import datetime as dt
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from typing import BinaryIO
from zoneinfo import ZoneInfo

from channels.wechat.statement_reader import Row, WechatStatementReader
from settlements.models import LineKind
from settlements.parsers.base import (
    Parsed,
    ParsedLine,
    StatedTotals,
    StatementIdentity,
    StatementRefused,
    compare_total,
    read_amount,
    read_decimal,
    refuse_unexpected_formats,
)

BEIJING = ZoneInfo("Asia/Shanghai")
CURRENCY = "CNY"
_MINOR = Decimal(100)
# 已撤销: an order of a till, with the same merchant number. One that was paid gives the money back. The row of one that
# was not paid has no amount, and counts as a row only.
_PAID, _REFUNDED, _REVOKED = "SUCCESS", "REFUND", "REVOKED"
_PAID_NAMES, _REFUNDED_NAMES = ("应结订单金额", "总金额"), ("退款金额",)
_NO_NUMBER = "0"
_IN, _OUT = "收入", "支出"
# 业务名称 of fund flow rows whose money the trade bill reports too. It never reports that WeChat Pay closed a refund.
# Its money comes back: "出账后退款状态不会更新".
_OF_TRADES = ("交易", "退款", "扣除交易手续费")
_REFUND_CLOSED = "退款关闭"  # 业务类型
_WITHDRAWAL = "提现"  # 业务名称 is 充值/提现
_PRIVATE = ("用户标识", "商户数据包")  # of the customer: not stored


@refuse_unexpected_formats
def parse_trades(file: BinaryIO, _identity: StatementIdentity) -> Iterator[Parsed]:
    """The trade bill of kind ALL: payments and refunds, each with its fee."""
    reader = WechatStatementReader(file)
    count, revoked, paid, refunded, fees, rounded_fees = 0, 0, 0, 0, Decimal(0), 0
    last_at = None
    for number, row in reader.read_rows():
        count += 1
        line = _build_trade(row, number)
        if line is None:
            revoked += 1
            continue
        fees += read_decimal(_get(row, number, "手续费"), number, "手续费")
        rounded_fees += line.fee_minor
        if line.kind is LineKind.REFUND:
            refunded -= line.gross_minor
        else:
            paid += line.gross_minor
        last_at = line.occurred_at
        yield line
    at, totals = reader.read_totals()
    compare_total("总交易单数", _read_count(totals, "总交易单数", at), count)
    compare_total("应结订单总金额", _read_total(totals, ("应结订单总金额", "总交易额"), at), paid)
    compare_total("退款总金额", _read_total(totals, ("退款总金额", "总退款金额"), at), refunded)
    stated_fees = read_decimal(_get(totals, at, "手续费总金额"), at, "手续费总金额")
    compare_total("手续费总金额", stated_fees, fees)
    # Each fee was rounded to fen; what the file's own sum has more or less is one line of its own.
    rounding = int((stated_fees * _MINOR).to_integral_value(ROUND_HALF_UP)) - rounded_fees
    if rounding and last_at is not None:
        raw = {"手续费总金额": totals["手续费总金额"]}
        yield ParsedLine(LineKind.ROUNDING, 0, rounding, CURRENCY, last_at, raw)
    yield StatedTotals(
        {
            CURRENCY: {
                "count": count - revoked,
                "gross": paid - refunded,
                "fee": rounded_fees + rounding,
                "stated": totals,
            }
        }
    )


@refuse_unexpected_formats
def parse_funds(file: BinaryIO, _identity: StatementIdentity) -> Iterator[Parsed]:
    """The fund flow bill of the basic account. All rows count for the totals and the running balance; only the rows
    that no trade bill reports become lines: withdrawals to the bank, closed refunds, and others."""
    reader = WechatStatementReader(file)
    counts, sums = {_IN: 0, _OUT: 0}, {_IN: 0, _OUT: 0}
    balance: int | None = None
    lines = gross = 0
    for number, row in reader.read_rows():
        direction = _get(row, number, "收支类型")
        if direction not in sums:
            raise StatementRefused(f"收支类型 '{direction}' is neither {_IN} nor {_OUT}", number)
        amount = read_amount(
            _get(row, number, "收支金额(元)", "收支金额（元）"), CURRENCY, number, "收支金额"
        )
        after = read_amount(_get(row, number, "账户结余(元)", "账户结余（元）"), CURRENCY, number, "账户结余")
        counts[direction] += 1
        sums[direction] += amount
        signed = amount if direction == _IN else -amount
        if balance is not None and balance + signed != after:
            raise StatementRefused(
                f"账户结余 is {after}, and the balance before and the row are {balance + signed}", number
            )
        balance = after
        if not _is_on_trade_bill(row, number):
            lines, gross = lines + 1, gross + signed
            yield _build_movement(row, number, signed)
    at, totals = reader.read_totals()
    compare_total("资金流水总笔数", _read_count(totals, "资金流水总笔数", at), sum(counts.values()))
    for direction in (_IN, _OUT):
        compare_total(f"{direction}笔数", _read_count(totals, f"{direction}笔数", at), counts[direction])
        compare_total(f"{direction}金额", _read_total(totals, (f"{direction}金额",), at), sums[direction])
    yield StatedTotals({CURRENCY: {"count": lines, "gross": gross, "fee": 0, "stated": totals}})


def _build_trade(row: Row, number: int) -> ParsedLine | None:
    """None for a revoked order that moved no money."""
    state, currency = _get(row, number, "交易状态"), _get(row, number, "货币种类")
    if currency != CURRENCY:
        raise StatementRefused(f"the currency '{currency[:10]}' is not {CURRENCY}", number)
    if state not in (_PAID, _REFUNDED, _REVOKED):
        raise StatementRefused(f"交易状态 '{state[:30]}' is unknown", number)
    is_refund = state != _PAID
    amount_names = _REFUNDED_NAMES if is_refund else _PAID_NAMES
    amount = read_amount(_get(row, number, *amount_names), CURRENCY, number, amount_names[0])
    if state == _REVOKED and not amount:
        return None
    fee = read_decimal(_get(row, number, "手续费"), number, "手续费") * _MINOR
    return ParsedLine(
        kind=LineKind.REFUND if is_refund else LineKind.PAYMENT,
        gross_minor=-amount if is_refund else amount,
        fee_minor=int(fee.to_integral_value(ROUND_HALF_UP)),
        currency=CURRENCY,
        occurred_at=_read_time(_get(row, number, "交易时间"), number),
        raw={name: value for name, value in row.items() if name not in _PRIVATE},
        reference=_get_number(row, number, "商户退款单号" if is_refund else "商户订单号"),
        channel_no=_get_number(row, number, "微信退款单号" if is_refund else "微信订单号"),
        fee_rate_millionths=_read_rate(row.get("费率", ""), number),
    )


def _is_on_trade_bill(row: Row, number: int) -> bool:
    return _get(row, number, "业务名称") in _OF_TRADES and _get(row, number, "业务类型") != _REFUND_CLOSED


def _build_movement(row: Row, number: int, signed_minor: int) -> ParsedLine:
    return ParsedLine(
        kind=_choose_kind(row, number, signed_minor),
        gross_minor=signed_minor,
        fee_minor=0,
        currency=CURRENCY,
        occurred_at=_read_time(_get(row, number, "记账时间"), number),
        raw=row,
        channel_no=_get(row, number, "微信支付业务单号"),
        line_no=_get(row, number, "资金流水单号"),
    )


def _choose_kind(row: Row, number: int, signed_minor: int) -> LineKind:
    name, subtype = _get(row, number, "业务名称"), _get(row, number, "业务类型")
    if subtype == _REFUND_CLOSED:
        return LineKind.REFUND_REVERSAL
    # 充值/提现 is also the name of a deposit, which comes in. A withdrawal that the bank gave back comes in too.
    if _WITHDRAWAL in name and (signed_minor < 0 or subtype.startswith(_WITHDRAWAL)):
        return LineKind.PAYOUT
    return LineKind.OTHER


def _get_number(row: Row, number: int, name: str) -> str:
    value = _get(row, number, name)
    return "" if value == _NO_NUMBER else value


def _get(row: Row, number: int, *names: str) -> str:
    """The value under the first of these names: old merchants have other columns."""
    for name in names:
        if name in row:
            return row[name]
    raise StatementRefused(f"there is no column {names[0]}", number)


def _read_total(totals: Row, names: tuple[str, ...], number: int) -> int:
    return read_amount(_get(totals, number, *names), CURRENCY, number, names[0])


def _read_count(totals: Row, name: str, number: int) -> int:
    """Fund flow bills write counts as `3.0`."""
    value = read_decimal(_get(totals, number, name), number, name)
    if value != value.to_integral_value():
        raise StatementRefused(f"{name} is not a number of lines", number)
    return int(value)


def _read_rate(text: str, number: int) -> int | None:
    """`0.60%` is 6,000 millionths. Empty where the merchant has no rate."""
    if not text.endswith("%"):
        return None
    return int((read_decimal(text[:-1], number, "费率") * 10_000).to_integral_value(ROUND_HALF_UP))


def _read_time(text: str, number: int) -> dt.datetime:
    try:
        return dt.datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=BEIJING)
    except ValueError:
        raise StatementRefused(f"'{text[:40]}' is not a time", number) from None
