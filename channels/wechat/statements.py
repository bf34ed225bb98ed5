"""Trade bills and fund flow bills (对账单): one file for each day in Beijing, from 10 o'clock on the next day.

How to get them: pay.weixin.qq.com/doc/v3/merchant/4012556654 and …/4012084430.
"""

import datetime as dt
import hashlib
import io
from collections.abc import Callable, Iterator
from typing import BinaryIO, TypeVar

import structlog

from channels.base import (
    ChannelPayment,
    ChannelRefund,
    ListingEntry,
    ListingFailed,
    ListingWindow,
    PaymentRef,
    PaymentState,
    RefundRef,
    RefundState,
    Reported,
    StatementRequest,
    UnexpectedFormat,
)
from channels.wechat.client import UnverifiedAnswer, WechatApiError, WechatClient
from channels.wechat.config import UnusableCredentials
from channels.wechat.fields import BEIJING, convert_yuan_to_fen, read_text
from channels.wechat.payments import METHODS_BY_TRADE_TYPE
from channels.wechat.refunds import find_refund
from channels.wechat.statement_reader import Row, WechatStatementReader
from common.http_calls import AnswerLost

log = structlog.get_logger(__name__)

# WeChat Pay begins to make the files at 9 and advises to read them from 10 on.
READY_AT = dt.time(10)
TRADE_BILL, FUND_FLOW_BILL = "/v3/bill/tradebill", "/v3/bill/fundflowbill"
# The path and the parameters of each kind of statement.
KINDS: dict[str, tuple[str, dict[str, str]]] = {
    "trades": (TRADE_BILL, {"bill_type": "ALL"}),
    "basic": (FUND_FLOW_BILL, {"account_type": "BASIC"}),
    "operation": (FUND_FLOW_BILL, {"account_type": "OPERATION"}),
    "fees": (FUND_FLOW_BILL, {"account_type": "FEES"}),
}
# The settlement statements, and their kinds.
STATEMENT_FORMATS = {"wechat_trades": "trades", "wechat_funds": "basic"}
_NOTHING_HAPPENED = "NO_STATEMENT_EXIST"  # pay.weixin.qq.com/doc/v3/merchant/4013071254
_TIME_FORMAT = "%Y-%m-%d %H:%M:%S"
_SUCCEEDED = "SUCCESS"  # 退款状态
# What a statement that cannot be read raises; KeyError: a column is missing.
FAILURES = (
    WechatApiError,
    UnverifiedAnswer,
    UnexpectedFormat,
    AnswerLost,
    UnusableCredentials,
    KeyError,
)

T = TypeVar("T")


def read_clock() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def list_payments(window: ListingWindow) -> Iterator[ListingEntry[ChannelPayment]]:
    """Lists what was paid in the window: unpaid orders are on no statement."""
    return _list_trades(window, "SUCCESS", _build_payment)


def list_refunds(window: ListingWindow) -> Iterator[ListingEntry[ChannelRefund]]:
    """Lists the refunds that were accepted in the window, those of the merchant platform included."""
    return _list_trades(window, "REFUND", _build_refund)


def download_statement(client: WechatClient, day: dt.date, kind: str) -> bytes | None:
    """Downloads the file of one day, of one of the `KINDS`; None for a day on which nothing happened.

    Raises the exceptions of `WechatClient.get`, and `UnexpectedFormat` while the file may still be made.
    """
    path, params = KINDS[kind]
    try:
        answer = client.get(path, {"bill_date": day.isoformat(), **params})
    except WechatApiError as error:
        if error.code != _NOTHING_HAPPENED:
            raise
        ready_at = dt.datetime.combine(day + dt.timedelta(days=1), READY_AT, BEIJING)
        if read_clock() < ready_at:
            raise UnexpectedFormat(f"the statement of {day} is made until {ready_at.isoformat()}") from error
        return None
    content = client.download(read_text(answer, "download_url"))
    digest = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    if answer.get("hash_type") != "SHA1" or digest != str(answer.get("hash_value")).lower():
        raise UnexpectedFormat("the file has not the hash that was signed")
    return content


def write_statement(request: StatementRequest, target: BinaryIO) -> bool:
    """Writes the file of one day as WeChat Pay made it. Returns False for a day on which nothing happened. Raises
    `ListingFailed`."""
    try:
        client = WechatClient(request.account, request.timeout_seconds)
        statement = download_statement(client, request.day, STATEMENT_FORMATS[request.format])
    except FAILURES as error:
        raise ListingFailed(f"the statement cannot be read: {error}") from error
    if statement is None:
        return False
    target.write(statement)
    return True


def _list_trades(
    window: ListingWindow, trade_state: str, build: Callable[[Row, ListingWindow], T]
) -> Iterator[ListingEntry[T]]:
    """Yields the window's rows that are in this state. Raises `ListingFailed`."""
    try:
        for day in _list_days(window):
            client = WechatClient(window.account, window.timeout_seconds)
            statement = download_statement(client, day, "trades")
            for row in [] if statement is None else _read_rows(statement):
                traded_at = _read_time(row)
                if row["交易状态"] == trade_state and window.since <= traded_at < window.until:
                    yield ListingEntry(build(row, window), traded_at)
    except FAILURES as error:
        raise ListingFailed(f"the statement cannot be read: {error}") from error


def _read_rows(content: bytes) -> Iterator[Row]:
    """Raises `UnexpectedFormat`, also for a file that ends before its totals."""
    file = WechatStatementReader(io.BytesIO(content))
    for _number, row in file.read_rows():
        yield row
    file.read_totals()


def _list_days(window: ListingWindow) -> Iterator[dt.date]:
    """Yields the days in Beijing that the window touches."""
    day = window.since.astimezone(BEIJING).date()
    last = (window.until - dt.timedelta(microseconds=1)).astimezone(BEIJING).date()
    while day <= last:
        yield day
        day += dt.timedelta(days=1)


def _build_payment(row: Row, _window: ListingWindow) -> ChannelPayment:
    amount = _read_amount(row, "订单金额", "总金额")
    return ChannelPayment(
        reference=row["商户订单号"],
        channel_trade_no=row["微信订单号"],
        state=PaymentState.PAID,
        amount_minor=amount,
        currency=row["货币种类"],
        captured_minor=amount,
        payment_method=METHODS_BY_TRADE_TYPE.get(row["交易类型"], ""),
    )


def _build_refund(row: Row, window: ListingWindow) -> ChannelRefund:
    refund = ChannelRefund(
        reference=row["商户退款单号"],
        channel_refund_no=row["微信退款单号"],
        state=RefundState.SUCCEEDED,
        amount_minor=_read_amount(row, "申请退款金额", "退款金额"),
        currency=row["货币种类"],
        environment=window.account.environment,
        payment_reference=row["商户订单号"],
        payment_trade_no=row["微信订单号"],
    )
    if row["退款状态"] == _SUCCEEDED:
        return refund
    # A row is not changed later: what became of a refund that was still under way is queried, as the page advises.
    payment = PaymentRef(refund.payment_reference, window.account, window.timeout_seconds)
    client = WechatClient(window.account, window.timeout_seconds)
    found = find_refund(client, RefundRef(refund.reference, payment))
    if not isinstance(found, Reported):
        raise UnexpectedFormat(f"refund {refund.reference} of the statement is not reported: {found}")
    return found.value


def _read_amount(row: Row, name: str, name_in_old_files: str) -> int:
    """Old merchants have files without the amounts before coupons (the page's first note)."""
    return convert_yuan_to_fen(row.get(name) or row[name_in_old_files])


def _read_time(row: Row) -> dt.datetime:
    try:
        return dt.datetime.strptime(row["交易时间"], _TIME_FORMAT).replace(tzinfo=BEIJING)
    except ValueError as error:
        raise UnexpectedFormat(f"not a time: {row['交易时间']!r}") from error
