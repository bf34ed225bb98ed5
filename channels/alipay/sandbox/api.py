"""The methods that a merchant's server calls. Each returns the fields of the answer beside code and msg, or raises
Refusal."""

from collections.abc import Mapping
from dataclasses import dataclass

from channels.alipay.sandbox import apps, bills, offers, refunds, trade_records, trades
from channels.alipay.sandbox.amounts import read_yuan
from channels.alipay.sandbox.books import Books
from channels.alipay.sandbox.content import read_address, read_text
from channels.alipay.sandbox.faults import Fault
from channels.alipay.sandbox.refusals import business, invalid_field
from channels.alipay.sandbox.trade_records import Trade

LONGEST_NUMBER = 64


@dataclass(frozen=True, slots=True)
class SandboxCall:
    """`behaviour`: what a fault makes the bank do."""

    content: Mapping[str, object]
    common: Mapping[str, str]
    base_url: str
    behaviour: Fault | None = None


def precreate(books: Books, app: apps.App, call: SandboxCall) -> dict[str, object]:
    """docs.open.alipay.com/api_1/alipay.trade.precreate. The trade comes into being when the code is scanned."""
    offer = offers.make_offer(
        app=app, product=apps.FACE_TO_FACE, content=call.content, common=call.common, now=books.now
    )
    trades.check_offer(books, offer)
    offers.save(books.connection, offer)
    return {"out_trade_no": offer.out_trade_no, "qr_code": f"{call.base_url}/qr/{offer.token}"}


def query(books: Books, app: apps.App, call: SandboxCall) -> dict[str, object]:
    """open/02ekfq. A refusal has the amounts of an unpaid trade beside its codes, as recorded answers have."""
    numbers = _numbers(call)
    trade = trade_records.find_by_number(books.connection, seller_id=app.seller_id, **numbers)
    if trade is None:
        details = {name: value for name, value in numbers.items() if value}
        raise business("ACQ.TRADE_NOT_EXIST", **trades.NOT_FOUND_DETAILS, **details)
    return trades.describe(trade, _options(call))


def close(books: Books, app: apps.App, call: SandboxCall) -> dict[str, object]:
    """open/02e7gn. A notify_url in the call gets a notice of it for any product."""
    trade = _trade(books, app, call)
    trades.close_unpaid(books, trade, notify_url=read_address(call.common, "notify_url"))
    return {"out_trade_no": trade.out_trade_no, "trade_no": trade.trade_no}


def cancel(books: Books, app: apps.App, call: SandboxCall) -> dict[str, object]:
    """open/02ekfr. An unknown out_trade_no is a success without trade_no and action ("action is returned when the trade
    exists"); an unknown trade_no is refused."""
    numbers = _numbers(call)
    trade = trade_records.find_by_number(books.connection, seller_id=app.seller_id, **numbers)
    if trade is None and numbers["trade_no"]:
        raise business("ACQ.TRADE_NOT_EXIST", retry_flag="N")
    if trade is None:
        return {"out_trade_no": numbers["out_trade_no"], "retry_flag": "N"}
    action = refunds.cancel(books, trade)
    return {
        "action": action,
        "out_trade_no": trade.out_trade_no,
        "retry_flag": "N",
        "trade_no": trade.trade_no,
    }


def refund(books: Books, app: apps.App, call: SandboxCall) -> dict[str, object]:
    """open/6c0cdd7d."""
    numbers = _numbers(call)
    trade = trade_records.find_by_number(books.connection, seller_id=app.seller_id, **numbers)
    if trade is None:
        details = {name: value for name, value in numbers.items() if value}
        raise business("ACQ.TRADE_NOT_EXIST", **refunds.NOTHING_REFUNDED, **details)
    try:
        amount_fen = read_yuan(call.content.get("refund_amount"))
    except ValueError:
        raise invalid_field("refund_amount", "单位为元，支持两位小数") from None
    number = _text(call, "out_request_no")
    is_changed = refunds.refund(
        books,
        trade,
        amount_fen=amount_fen,
        out_request_no=number,
        reason=_text(call, "refund_reason", longest=256),
        behaviour=call.behaviour,
    )
    trade = trade_records.get(books.connection, trade.trade_no)
    found = refunds.find(books, trade.trade_no, number or trade.out_trade_no)
    return refunds.describe_call(trade, found, _options(call), is_changed=is_changed)


def query_refund(books: Books, app: apps.App, call: SandboxCall) -> dict[str, object]:
    """open/02e7gp: code 10000 alone says nothing; without refund_status the refund is not known or not successful."""
    number = _text(call, "out_request_no")
    if not number:
        raise invalid_field("out_request_no", "不可为空")
    trade = _trade(books, app, call)
    found = refunds.find(books, trade.trade_no, number)
    return refunds.describe(trade, found, _options(call))


def query_bill_address(books: Books, app: apps.App, call: SandboxCall) -> dict[str, object]:
    """open/06fpmm."""
    link = bills.make_link(
        books,
        app,
        bill_type=_text(call, "bill_type"),
        bill_date=_text(call, "bill_date"),
        base_url=call.base_url,
    )
    return {"bill_download_url": link}


def _trade(books: Books, app: apps.App, call: SandboxCall) -> Trade:
    trade = trade_records.find_by_number(books.connection, seller_id=app.seller_id, **_numbers(call))
    if trade is None:
        raise business("ACQ.TRADE_NOT_EXIST")
    return trade


def _numbers(call: SandboxCall) -> dict[str, str]:
    numbers = {name: _text(call, name) for name in ("trade_no", "out_trade_no")}
    if not any(numbers.values()):
        raise business("ACQ.INVALID_PARAMETER", "参数无效：trade_no 和 out_trade_no 不能同时为空")
    return numbers


def _text(call: SandboxCall, name: str, *, longest: int = LONGEST_NUMBER) -> str:
    return read_text(call.content, name, longest=longest)


def _options(call: SandboxCall) -> list[str]:
    options = call.content.get("query_options", [])
    if not isinstance(options, list):
        raise invalid_field("query_options", "应为数组")
    return [option for option in options if isinstance(option, str)]
