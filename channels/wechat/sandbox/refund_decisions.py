"""What becomes of an accepted refund, and the callback that reports it."""

import sqlite3
from typing import Any

from channels.wechat.sandbox import callbacks, ledger
from channels.wechat.sandbox.bank import Bank
from channels.wechat.sandbox.clock import format_rfc3339
from channels.wechat.sandbox.refunds import RECEIVED_BY, get_order


def settle_due(bank: Bank) -> int:
    """Decides each refund whose time has come. Returns how many."""
    now = bank.clock.now()
    with bank.books.transaction() as db:
        due = db.execute(
            "SELECT * FROM refunds WHERE status = 'PROCESSING' AND settle_at <= ? ORDER BY settle_at, id",
            [now],
        ).fetchall()
        for refund in due:
            settle(bank, db, refund, refund["settle_as"])
    return len(due)


def settle(bank: Bank, db: sqlite3.Connection, refund: sqlite3.Row, status: str) -> None:
    """Decides a refund: SUCCESS, ABNORMAL (the customer's account cannot take it; the merchant must act, so that it
    may still succeed) or CLOSED (the money goes back to the merchant)."""
    now = bank.clock.now()
    changed = db.execute(
        "UPDATE refunds SET status = ?, settled_at = ? WHERE id = ? AND status IN ('PROCESSING', 'ABNORMAL')",
        [status, now, refund["id"]],
    ).rowcount
    if not changed:
        return
    if status == "CLOSED":
        entry = {"order_id": refund["order_id"], "refund_id": refund["id"]}
        ledger.write_entry(db, refund["mchid"], "refund_return", refund["amount"], now, **entry)
        ledger.write_entry(db, refund["mchid"], "fee_again", -refund["fee"], now, **entry)
    if refund["notify_url"]:
        order = get_order(db, refund)
        callbacks.enqueue(
            bank,
            db,
            mchid=refund["mchid"],
            event_type=f"REFUND.{status}",
            notify_url=refund["notify_url"],
            resource=_format_notice(refund, order, status, now),
            numbers_of_subject=(refund["out_refund_no"], order["out_trade_no"]),
        )


def _format_notice(refund: sqlite3.Row, order: sqlite3.Row, status: str, now: float) -> dict[str, Any]:
    """What REFUND.… brings: wiki/doc/apiv3/apis/chapter3_1_11.shtml."""
    notice: dict[str, Any] = {
        "mchid": refund["mchid"],
        "out_trade_no": order["out_trade_no"],
        "transaction_id": order["transaction_id"],
        "out_refund_no": refund["out_refund_no"],
        "refund_id": refund["refund_id"],
        "refund_status": status,
        "user_received_account": RECEIVED_BY,
        "amount": {
            "total": order["total"],
            "refund": refund["amount"],
            "payer_total": order["total"],
            "payer_refund": refund["amount"],
        },
    }
    if status == "SUCCESS":
        notice["success_time"] = format_rfc3339(now)
    return notice
