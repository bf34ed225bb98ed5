"""Refunds: applied for and queried; refund_decisions.py decides them later. doc/v3/merchant/4012556457."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from channels.wechat.sandbox import ledger, numbers
from channels.wechat.sandbox.bank import Bank
from channels.wechat.sandbox.clock import format_rfc3339
from channels.wechat.sandbox.errors import (
    SandboxApiError,
    frequency_limited,
    invalid_request,
    resource_not_exists,
)
from channels.wechat.sandbox.faults import FaultKind
from channels.wechat.sandbox.merchants import SandboxMerchant
from channels.wechat.sandbox.orders import find_order, find_order_by_transaction
from channels.wechat.sandbox.parameters import NOTIFY_URL, OUT_REFUND_NO, Parameters

# "按支付成功时间+365天计算"
WINDOW_SECONDS = 365 * 86400
# "每个支付订单的部分退款次数不能超过50次"
MAX_PARTIAL_REFUNDS = 50
# "同一笔订单多次退款的请求需相隔1分钟"
MIN_SECONDS_BETWEEN = 60
RECEIVED_BY = "支付用户零钱"


@dataclass(frozen=True, slots=True)
class RefundRequest:
    transaction_id: str
    out_trade_no: str
    out_refund_no: str
    reason: str
    notify_url: str
    amount: int
    total: int


def apply(bank: Bank, merchant: SandboxMerchant, body: Mapping[str, Any]) -> dict[str, Any]:
    """Accepts a refund, or repeats the answer for the same out_refund_no. Raises `SandboxApiError`.

    To be accepted is not to succeed: the status is PROCESSING.
    """
    request = _parse(body)
    now = bank.clock.now()
    with bank.books.transaction() as db:
        order = _find_paid_order(db, merchant.mchid, request)
        refund = find_refund(db, merchant.mchid, request.out_refund_no)
        if refund is None:
            _check_rules(db, order, request, now)
            refund = create(
                bank,
                db,
                merchant,
                order,
                out_refund_no=request.out_refund_no,
                amount=request.amount,
                reason=request.reason,
                notify_url=request.notify_url or merchant.refund_notify_url,
                source="api",
            )
        elif (refund["order_id"], refund["amount"], order["total"]) != (
            order["id"],
            request.amount,
            request.total,
        ):
            raise _amounts_differ()
    bank.work_added.set()
    return format_refund(refund, order)


def _parse(body: Mapping[str, Any]) -> RefundRequest:
    given = Parameters("body", body)
    transaction_id = given.read_text("transaction_id", "微信支付订单号", max_length=32, is_required=False)
    out_trade_no = given.read_text(
        "out_trade_no", "商户订单号", max_length=32, is_required=not transaction_id
    )
    out_refund_no = given.read_text("out_refund_no", "商户退款单号", max_length=64, pattern=OUT_REFUND_NO)
    reason = given.read_text("reason", "退款原因", max_length=80, is_required=False)
    notify_url = given.read_text(
        "notify_url", "退款结果回调url", max_length=256, is_required=False, pattern=NOTIFY_URL
    )
    amount = given.read_section("amount", "金额信息")
    refund, total = amount.read_fen("refund", "退款金额"), amount.read_fen("total", "原订单金额")
    amount.read_currency(is_required=True)
    return RefundRequest(transaction_id, out_trade_no, out_refund_no, reason, notify_url, refund, total)


def _find_paid_order(db: sqlite3.Connection, mchid: str, request: RefundRequest) -> sqlite3.Row:
    """ "订单号不存在：请检查你的订单号是否正确且是否已支付，未支付的订单不能发起退款"."""
    if request.transaction_id:
        order = find_order_by_transaction(db, mchid, request.transaction_id)
    else:
        order = find_order(db, mchid, request.out_trade_no)
    if order is None or order["transaction_id"] is None:
        raise resource_not_exists("订单号不存在")
    return order


def _check_rules(db: sqlite3.Connection, order: sqlite3.Row, request: RefundRequest, now: float) -> None:
    """The texts are those that merchants quote; the documentation gives the rules, and the codes only."""
    if request.total != order["total"]:
        raise _amounts_differ()
    if now > order["paid_at"] + WINDOW_SECONDS:
        raise invalid_request("订单已超过可退款期限")
    row = db.execute(
        "SELECT COALESCE(SUM(amount), 0) AS refunded, COUNT(*) AS refunds, MAX(created_at) AS last_at"
        " FROM refunds WHERE order_id = ? AND status <> 'CLOSED'",
        [order["id"]],
    ).fetchone()
    if request.amount > order["total"] - row["refunded"]:
        raise invalid_request("申请退款金额超过订单可退金额")
    if row["refunds"] >= MAX_PARTIAL_REFUNDS:
        raise invalid_request("部分退款次数超过50次")
    if row["last_at"] is not None and now < row["last_at"] + MIN_SECONDS_BETWEEN:
        raise frequency_limited("单笔订单请求频率过高，请于1分钟后重试")


def _amounts_differ() -> SandboxApiError:
    return invalid_request("订单金额或退款金额与之前请求不一致，请核实后再试")


def create(
    bank: Bank,
    db: sqlite3.Connection,
    merchant: SandboxMerchant,
    order: sqlite3.Row,
    *,
    out_refund_no: str,
    amount: int,
    reason: str,
    notify_url: str,
    source: str,
) -> sqlite3.Row:
    """Takes the money from the merchant, less the fee that goes back to them. Raises `SandboxApiError` (NOT_ENOUGH)."""
    now = bank.clock.now()
    fee = _compute_returned_fee(db, order, amount)
    if ledger.get_balance(db, merchant.mchid) < amount - fee:
        raise SandboxApiError(403, "NOT_ENOUGH", "基本账户余额不足，请充值后重新发起")
    fault = bank.faults.take("refund", "", merchant.mchid, (out_refund_no, order["out_trade_no"]))
    settle_as, seconds = "SUCCESS", merchant.refund_seconds
    if fault is not None:
        settle_as = {FaultKind.REFUND_ABNORMAL: "ABNORMAL", FaultKind.REFUND_CLOSED: "CLOSED"}.get(
            fault.kind, "SUCCESS"
        )
        seconds = fault.seconds or seconds
    db.execute(
        "INSERT INTO refunds (order_id, mchid, out_refund_no, refund_id, amount, fee, reason, notify_url, source,"
        " status, created_at, settle_at, settle_as) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'PROCESSING', ?, ?, ?)",
        [
            order["id"],
            merchant.mchid,
            out_refund_no,
            numbers.make_refund_id(now),
            amount,
            fee,
            reason,
            notify_url,
            source,
            now,
            now + seconds,
            settle_as,
        ],
    )
    refund = find_refund(db, merchant.mchid, out_refund_no)
    assert refund is not None
    entry = {"order_id": order["id"], "refund_id": refund["id"]}
    ledger.write_entry(db, merchant.mchid, "refund", -amount, now, **entry)
    ledger.write_entry(db, merchant.mchid, "fee_return", fee, now, **entry)
    db.execute("UPDATE orders SET state = 'REFUND' WHERE id = ?", [order["id"]])
    return refund


def _compute_returned_fee(db: sqlite3.Connection, order: sqlite3.Row, amount: int) -> int:
    """The share of the fee that goes back; all of it when all of the payment is refunded."""
    row = db.execute(
        "SELECT COALESCE(SUM(amount), 0) AS refunded, COALESCE(SUM(fee), 0) AS fee"
        " FROM refunds WHERE order_id = ? AND status <> 'CLOSED'",
        [order["id"]],
    ).fetchone()
    return int(order["fee"] * (row["refunded"] + amount) // order["total"] - row["fee"])


def find_refund(db: sqlite3.Connection, mchid: str, out_refund_no: str) -> sqlite3.Row | None:
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM refunds WHERE mchid = ? AND out_refund_no = ?", [mchid, out_refund_no]
    ).fetchone()
    return row


def query(bank: Bank, merchant: SandboxMerchant, out_refund_no: str) -> dict[str, Any]:
    with bank.books.transaction() as db:
        refund = find_refund(db, merchant.mchid, out_refund_no)
        if refund is None:
            raise resource_not_exists("退款单不存在")
        order = get_order(db, refund)
    return format_refund(refund, order)


def get_order(db: sqlite3.Connection, refund: sqlite3.Row) -> sqlite3.Row:
    row: sqlite3.Row = db.execute("SELECT * FROM orders WHERE id = ?", [refund["order_id"]]).fetchone()
    return row


def format_refund(refund: sqlite3.Row, order: sqlite3.Row) -> dict[str, Any]:
    """The object of both answers; its fields are those of the official SDKs' `Refund`."""
    amount = refund["amount"]
    answer: dict[str, Any] = {
        "refund_id": refund["refund_id"],
        "out_refund_no": refund["out_refund_no"],
        "transaction_id": order["transaction_id"],
        "out_trade_no": order["out_trade_no"],
        "channel": "ORIGINAL",
        "user_received_account": RECEIVED_BY,
        "create_time": format_rfc3339(refund["created_at"]),
        "status": refund["status"],
        "funds_account": "UNSETTLED",
        "amount": {
            "total": order["total"],
            "refund": amount,
            "payer_total": order["total"],
            "payer_refund": amount,
            "settlement_refund": amount,
            "settlement_total": order["total"],
            "discount_refund": 0,
            "currency": "CNY",
        },
    }
    if refund["status"] == "SUCCESS":
        answer["success_time"] = format_rfc3339(refund["settled_at"])
    return answer
