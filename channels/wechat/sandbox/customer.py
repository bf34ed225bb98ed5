"""The customer, who pays what a code_url, an h5_url or a prepay_id stands for."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from channels.wechat.sandbox import callbacks, ledger, numbers
from channels.wechat.sandbox.bank import Bank
from channels.wechat.sandbox.orders import format_order
from channels.wechat.sandbox.signatures import is_signed_by


class CannotPay(Exception):
    """WeChat shows the customer why they cannot pay."""


@dataclass(frozen=True, slots=True)
class PaymentInvitation:
    """An order as the customer sees it. `reason` says why it cannot be paid; empty: it can."""

    order: sqlite3.Row
    merchant_name: str
    reason: str


def find_invitation(bank: Bank, *, token: str = "", prepay_id: str = "") -> PaymentInvitation | None:
    with bank.books.transaction() as db:
        link = db.execute(
            "SELECT * FROM links WHERE token = ? OR prepay_id = ?", [token, prepay_id]
        ).fetchone()
        if link is None:
            return None
        order = db.execute("SELECT * FROM orders WHERE id = ?", [link["order_id"]]).fetchone()
    now = bank.clock.now()
    reason = _find_obstacle(order, now) or ("" if now < link["expires_at"] else "二维码或链接已失效")
    return PaymentInvitation(order, bank.merchants[order["mchid"]].name, reason)


def _find_obstacle(order: sqlite3.Row, now: float) -> str:
    if order["state"] == "CLOSED":
        return "该订单已关闭"
    if order["state"] != "NOTPAY":
        return "该订单已支付"
    # "超过此时间后，用户将无法对该笔订单进行支付": time_expire.
    return "" if now <= order["time_expire"] else "该订单已失效，请重新返回商户下单支付"


def pay(bank: Bank, order_id: int, *, is_forced: bool = False) -> str:
    """Pays an order and queues its callback. Returns the transaction_id. Raises `CannotPay`.

    `is_forced` also pays a closed or expired order: the customer was entering their password when it was closed, as
    merchants report (developers.weixin.qq.com/community/personal/oCJUswwemv3ES_-16uTTxLN3-FZg).
    """
    now = bank.clock.now()
    transaction_id = numbers.make_transaction_id(now)
    with bank.books.transaction() as db:
        order = db.execute("SELECT * FROM orders WHERE id = ?", [order_id]).fetchone()
        merchant = bank.merchants[order["mchid"]]
        fee = ledger.compute_fee(merchant, order["total"])
        changed = db.execute(
            "UPDATE orders SET state = 'SUCCESS', transaction_id = ?, paid_at = ?, openid = ?, fee = ? WHERE id = ?"
            " AND (state = 'NOTPAY' AND time_expire >= ? OR ? AND state IN ('NOTPAY', 'CLOSED'))",
            [transaction_id, now, order["openid"] or numbers.make_openid(), fee, order_id, now, is_forced],
        ).rowcount
        if not changed:
            raise CannotPay(_find_obstacle(order, now))
        order = db.execute("SELECT * FROM orders WHERE id = ?", [order_id]).fetchone()
        ledger.write_entry(db, merchant.mchid, "payment", order["total"], now, order_id=order_id)
        ledger.write_entry(db, merchant.mchid, "fee", -fee, now, order_id=order_id)
        callbacks.enqueue(
            bank,
            db,
            mchid=merchant.mchid,
            event_type="TRANSACTION.SUCCESS",
            notify_url=order["notify_url"],
            resource=format_order(order),
            numbers_of_subject=(order["out_trade_no"],),
        )
    return transaction_id


def check_bridge_call(bank: Bank, parameters: Mapping[str, object]) -> str:
    """Checks what a shop's page gives to WeixinJSBridge, as WeChat does. Returns the prepay_id. Raises `CannotPay`.

    wiki/doc/apiv3/apis/chapter5_1_8.shtml: paySign signs appId, timeStamp, nonceStr and package, in four lines.
    """
    names = ("appId", "timeStamp", "nonceStr", "package", "signType", "paySign")
    values = {name: parameters.get(name) for name in names}
    for name, value in values.items():
        if not isinstance(value, str) or not value:
            raise CannotPay(f"缺少参数 {name}")
    if values["signType"] != "RSA":
        raise CannotPay("signType 仅支持 RSA")
    package = str(values["package"])
    if not package.startswith("prepay_id="):
        raise CannotPay("package 参数错误")
    invitation = find_invitation(bank, prepay_id=package.removeprefix("prepay_id="))
    if invitation is None or invitation.order["appid"] != values["appId"]:
        raise CannotPay("prepay_id 无效")
    message = "".join(f"{values[name]}\n" for name in ("appId", "timeStamp", "nonceStr", "package"))
    if not is_signed_by(bank.merchants[invitation.order["mchid"]], message.encode(), str(values["paySign"])):
        raise CannotPay("支付验证签名失败")
    return package.removeprefix("prepay_id=")
