"""Prepay, query and close."""

import sqlite3
import urllib.parse
from typing import Any

from channels.wechat.sandbox import numbers
from channels.wechat.sandbox.bank import Bank
from channels.wechat.sandbox.clock import format_rfc3339
from channels.wechat.sandbox.errors import SandboxApiError, invalid_request, order_not_exist
from channels.wechat.sandbox.merchants import SandboxMerchant
from channels.wechat.sandbox.parameters import Parameters
from channels.wechat.sandbox.prepay import PrepayRequest, TradeType, parse_prepay

# "code_url有效期为2小时", "prepay_id有效期为2小时", "h5_url的有效期为5分钟": the answers of the three prepay pages.
LINK_SECONDS = {TradeType.NATIVE: 7200, TradeType.JSAPI: 7200, TradeType.H5: 300}
STATE_LABELS = {
    "NOTPAY": "订单未支付",
    "SUCCESS": "支付成功",
    "REFUND": "订单发生过退款，退款详情请查询退款单",
    "CLOSED": "订单已关闭",
}


def prepay(
    bank: Bank, merchant: SandboxMerchant, trade_type: TradeType, body: dict[str, Any]
) -> dict[str, Any]:
    """Creates the order, or repeats the answer for the same parameters. Raises `SandboxApiError`."""
    request = parse_prepay(trade_type, body)
    if request.mchid != merchant.mchid:
        raise Parameters("body", body).refuse("mchid", "直连商户号", "与签名的商户号不一致")
    if request.appid != merchant.appid:
        raise SandboxApiError(400, "APPID_MCHID_NOT_MATCH", "AppID和mch_id不匹配")
    now = bank.clock.now()
    with bank.books.transaction() as db:
        order = find_order(db, merchant.mchid, request.out_trade_no)
        if order is None:
            order = _create_order(db, request, now)
        else:
            _check_repetition(order, request)
        link = _find_valid_link(db, order, now) or _create_link(db, order, now)
    return _format_link(bank, trade_type, link)


def _create_order(db: sqlite3.Connection, request: PrepayRequest, now: float) -> sqlite3.Row:
    db.execute(
        "INSERT INTO orders (mchid, out_trade_no, trade_type, appid, description, attach, notify_url, total, openid,"
        " parameters, created_at, time_expire, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'NOTPAY')",
        [
            request.mchid,
            request.out_trade_no,
            request.trade_type,
            request.appid,
            request.description,
            request.attach,
            request.notify_url,
            request.total,
            request.openid,
            request.parameters,
            now,
            request.get_time_expire(now),
        ],
    )
    order = find_order(db, request.mchid, request.out_trade_no)
    assert order is not None
    return order


def _check_repetition(order: sqlite3.Row, request: PrepayRequest) -> None:
    """ "可使用原参数重新请求下单接口"; other parameters are an error: the texts are those that merchants quote.

    developers.weixin.qq.com/community/personal/oCJUsw1-2YLv9o7PJusyZBkbN314 (parameters),
    …/pay/doc/000ae86d1049f0625e4cfeeef51800 (another way to pay); doc/v3/merchant/4012556398 (ORDER_CLOSED).
    """
    if order["trade_type"] != request.trade_type:
        raise invalid_request("201 商户订单号重复")
    if order["parameters"] != request.parameters:
        raise invalid_request("订单重入时，要求参数值与原请求一致，请确认参数问题")
    if order["state"] == "CLOSED":
        raise SandboxApiError(400, "ORDER_CLOSED", "订单已关闭")
    if order["state"] != "NOTPAY":
        raise order_paid()


def order_paid() -> SandboxApiError:
    """The code is that of APIv2's tables; APIv3's say only "请根据接口返回的详细信息检查"."""
    return SandboxApiError(400, "ORDERPAID", "该订单已支付")


def _find_valid_link(db: sqlite3.Connection, order: sqlite3.Row, now: float) -> sqlite3.Row | None:
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM links WHERE order_id = ? AND expires_at > ? ORDER BY expires_at DESC LIMIT 1",
        [order["id"], now],
    ).fetchone()
    return row


def _create_link(db: sqlite3.Connection, order: sqlite3.Row, now: float) -> sqlite3.Row:
    token = numbers.make_link_token()
    expires_at = now + LINK_SECONDS[TradeType(order["trade_type"])]
    db.execute(
        "INSERT INTO links (token, prepay_id, order_id, expires_at) VALUES (?, ?, ?, ?)",
        [token, numbers.make_prepay_id(now), order["id"], expires_at],
    )
    row: sqlite3.Row = db.execute("SELECT * FROM links WHERE token = ?", [token]).fetchone()
    return row


def _format_link(bank: Bank, trade_type: TradeType, link: sqlite3.Row) -> dict[str, Any]:
    match trade_type:
        case TradeType.NATIVE:
            if bank.has_web_links:
                return {"code_url": make_page_url(bank, link["token"])}
            return {"code_url": f"weixin://wxpay/bizpayurl?pr={link['token']}"}
        case TradeType.JSAPI:
            return {"prepay_id": link["prepay_id"]}
        case TradeType.H5:
            query = urllib.parse.urlencode({"prepay_id": link["prepay_id"], "package": link["token"]})
            return {"h5_url": f"{bank.base_url}/cgi-bin/mmpayweb-bin/checkmweb?{query}"}


def make_page_url(bank: Bank, token: str) -> str:
    """The page on which a person pays what weixin://wxpay/bizpayurl?pr=TOKEN stands for."""
    return f"{bank.base_url}/pay/{token}"


def find_order(db: sqlite3.Connection, mchid: str, out_trade_no: str) -> sqlite3.Row | None:
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM orders WHERE mchid = ? AND out_trade_no = ?", [mchid, out_trade_no]
    ).fetchone()
    return row


def find_order_by_transaction(db: sqlite3.Connection, mchid: str, transaction_id: str) -> sqlite3.Row | None:
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM orders WHERE mchid = ? AND transaction_id = ?", [mchid, transaction_id]
    ).fetchone()
    return row


def query_by_out_trade_no(bank: Bank, merchant: SandboxMerchant, out_trade_no: str) -> dict[str, Any]:
    with bank.books.transaction() as db:
        order = find_order(db, merchant.mchid, out_trade_no)
    if order is None:
        raise order_not_exist()
    return format_order(order)


def query_by_transaction_id(bank: Bank, merchant: SandboxMerchant, transaction_id: str) -> dict[str, Any]:
    with bank.books.transaction() as db:
        order = find_order_by_transaction(db, merchant.mchid, transaction_id)
    if order is None:
        raise order_not_exist()
    return format_order(order)


def format_order(order: sqlite3.Row) -> dict[str, Any]:
    """The object of a query and of the callback TRANSACTION.SUCCESS.

    docs/merchant/apis/query-order/direct-jsons/query-by-out-trade-no.html. `amount`, `payer` and `transaction_id` are
    there after the payment only: "订单金额信息，当支付成功时返回相应信息"; so is `attach`: doc/v3/merchant/4012525167.
    """
    answer: dict[str, Any] = {
        "appid": order["appid"],
        "mchid": order["mchid"],
        "out_trade_no": order["out_trade_no"],
        "trade_state": order["state"],
        "trade_state_desc": STATE_LABELS[order["state"]],
    }
    if order["transaction_id"] is not None:
        if order["attach"]:
            answer["attach"] = order["attach"]
        answer |= {
            "transaction_id": order["transaction_id"],
            "trade_type": order["trade_type"],
            "bank_type": "OTHERS",
            "success_time": format_rfc3339(order["paid_at"]),
            "payer": {"openid": order["openid"]},
            "amount": {
                "total": order["total"],
                "payer_total": order["total"],
                "currency": "CNY",
                "payer_currency": "CNY",
            },
        }
    return answer


def close(bank: Bank, merchant: SandboxMerchant, out_trade_no: str) -> None:
    """Closes an unpaid order. Raises `SandboxApiError` for one that is paid, unknown or closed already.

    docs/partner/apis/partner-miniprogram-payment/close-order.html: ORDER_CLOSED, ORDER_NOT_EXIST. Merchants have also
    seen 204 for an unknown order (developers.weixin.qq.com/community/personal/oCJUswwemv3ES…): a fault plays that.
    """
    with bank.books.transaction() as db:
        changed = db.execute(
            "UPDATE orders SET state = 'CLOSED' WHERE mchid = ? AND out_trade_no = ? AND state = 'NOTPAY'",
            [merchant.mchid, out_trade_no],
        ).rowcount
        order = find_order(db, merchant.mchid, out_trade_no)
    if order is None:
        raise order_not_exist()
    if not changed:
        raise (
            SandboxApiError(400, "ORDER_CLOSED", "订单已关闭") if order["state"] == "CLOSED" else order_paid()
        )
