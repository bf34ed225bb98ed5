"""What a test does to the bank, besides calling its API: pays, refunds in the merchant platform, moves money."""

import sqlite3
from typing import Any

from channels.wechat.sandbox import callbacks, customer, ledger, numbers, refund_decisions, refunds
from channels.wechat.sandbox.bank import Bank
from channels.wechat.sandbox.clock import format_rfc3339
from channels.wechat.sandbox.errors import order_not_exist, resource_not_exists
from channels.wechat.sandbox.orders import find_order, format_order


def _require_order(db: sqlite3.Connection, mchid: str, out_trade_no: str) -> sqlite3.Row:
    order = find_order(db, mchid, out_trade_no)
    if order is None:
        raise order_not_exist()
    return order


def pay(bank: Bank, mchid: str, out_trade_no: str, *, is_forced: bool = False) -> str:
    """The customer pays. Returns the transaction_id. Raises `CannotPay`, and `SandboxApiError` for an unknown order."""
    with bank.books.transaction() as db:
        order = _require_order(db, mchid, out_trade_no)
    return customer.pay(bank, order["id"], is_forced=is_forced)


def close_by_system(bank: Bank, mchid: str, out_trade_no: str) -> bool:
    """WeChat Pay closes an order that nobody paid. Returns False if it is paid or closed already.

    It does so after a time that it does not publish: developers.weixin.qq.com/community/pay/doc/0002e202db08a0….
    """
    with bank.books.transaction() as db:
        changed = db.execute(
            "UPDATE orders SET state = 'CLOSED' WHERE mchid = ? AND out_trade_no = ? AND state = 'NOTPAY'",
            [mchid, out_trade_no],
        ).rowcount
    return bool(changed)


def refund_in_merchant_platform(
    bank: Bank, mchid: str, out_trade_no: str, amount: int, reason: str = ""
) -> dict[str, Any]:
    """Staff of the merchant refund a paid order on pay.weixin.qq.com. Only `refund_notify_url` gets a callback."""
    merchant = bank.merchants[mchid]
    with bank.books.transaction() as db:
        order = _require_order(db, mchid, out_trade_no)
        if order["transaction_id"] is None:
            raise resource_not_exists("订单号不存在")
        refund = refunds.create(
            bank,
            db,
            merchant,
            order,
            out_refund_no=numbers.make_platform_refund_no(bank.clock.now()),
            amount=amount,
            reason=reason,
            notify_url=merchant.refund_notify_url,
            source="merchant_platform",
        )
    bank.work_added.set()
    return refunds.format_refund(refund, order)


def settle_refund(bank: Bank, mchid: str, out_refund_no: str, status: str) -> None:
    """Decides a refund now; one that is ABNORMAL may still become SUCCESS or CLOSED."""
    with bank.books.transaction() as db:
        refund = refunds.find_refund(db, mchid, out_refund_no)
        if refund is None:
            raise resource_not_exists("退款单不存在")
        refund_decisions.settle(bank, db, refund, status)


def move_money(bank: Bank, mchid: str, amount: int) -> int:
    """A deposit, or with a negative amount a withdrawal to the merchant's bank. Returns the balance."""
    with bank.books.transaction() as db:
        kind = "deposit" if amount > 0 else "withdrawal"
        ledger.write_entry(db, mchid, kind, amount, bank.clock.now())
        return ledger.get_balance(db, mchid)


def forge_payment(bank: Bank, mchid: str, out_trade_no: str) -> None:
    """Somebody else sends a TRANSACTION.SUCCESS for an order that nobody paid."""
    now = bank.clock.now()
    with bank.books.transaction() as db:
        order = _require_order(db, mchid, out_trade_no)
        resource = format_order(order) | {
            "trade_state": "SUCCESS",
            "trade_state_desc": "支付成功",
            "transaction_id": numbers.make_transaction_id(now),
            "trade_type": order["trade_type"],
            "success_time": format_rfc3339(now),
            "amount": {"total": order["total"], "payer_total": order["total"], "currency": "CNY"},
        }
        callbacks.add(
            db,
            mchid,
            "TRANSACTION.SUCCESS",
            order["notify_url"],
            resource,
            numbers.make_event_id(),
            callbacks.FORGED,
            now,
            now,
        )
    bank.work_added.set()


def resend(bank: Bank, event_id: str) -> int:
    """Sends the genuine callbacks of an event once more, whatever became of them. Returns how many."""
    with bank.books.transaction() as db:
        changed = db.execute(
            "UPDATE callbacks SET status = 'waiting', next_at = ? WHERE event_id = ? AND signing = 'genuine'",
            [bank.clock.now(), event_id],
        ).rowcount
    bank.work_added.set()
    return changed


def list_callbacks(bank: Bank, mchid: str = "") -> list[dict[str, Any]]:
    """Each callback with what it reports and with its attempts."""
    with bank.books.transaction() as db:
        rows = db.execute("SELECT * FROM callbacks WHERE ? IN ('', mchid) ORDER BY id", [mchid]).fetchall()
        attempts = db.execute("SELECT * FROM callback_attempts ORDER BY id").fetchall()
    listed = {row["id"]: {**dict(row), "attempts_made": []} for row in rows}
    for attempt in attempts:
        if attempt["callback_id"] in listed:
            listed[attempt["callback_id"]]["attempts_made"].append(dict(attempt))
    return list(listed.values())
