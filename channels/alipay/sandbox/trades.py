"""What happens to a trade. `trade_status` as open/270/105902 describes it:

WAIT_BUYER_PAY -> TRADE_SUCCESS -> TRADE_FINISHED (can no longer be refunded) or TRADE_CLOSED (all of it is refunded)
WAIT_BUYER_PAY -> TRADE_CLOSED (not paid in time, or closed by the merchant)
"""

import secrets
from collections.abc import Collection
from datetime import timedelta

from channels.alipay.sandbox import apps, ledger, notices, trade_records
from channels.alipay.sandbox.amounts import write_yuan
from channels.alipay.sandbox.books import Books
from channels.alipay.sandbox.clock import read_time, write_time
from channels.alipay.sandbox.offers import Offer
from channels.alipay.sandbox.refusals import Refusal, business
from channels.alipay.sandbox.trade_records import (
    BUYER_ID,
    BUYER_LOGON_ID,
    CLOSED,
    FINISHED,
    SUCCESS,
    WAITING,
    Trade,
)


def check_offer(books: Books, offer: Offer) -> None:
    """Refuses an offer whose order is already paid, closed, or has other terms: error codes of open/028r8t.

    An order that waits for its customer may be offered again with the same terms (developer.aliyun.com/article/707511).
    """
    app = apps.get(books.connection, offer.app_id)
    trade = trade_records.find_by_number(
        books.connection, seller_id=app.seller_id, out_trade_no=offer.out_trade_no
    )
    if trade is None:
        return
    if trade.is_paid and trade.status != CLOSED:
        raise business("ACQ.TRADE_HAS_SUCCESS")
    if trade.status == CLOSED:
        raise business("ACQ.TRADE_HAS_CLOSE")
    if (trade.total_fen, trade.subject) != (offer.total_fen, offer.subject):
        raise business("ACQ.CONTEXT_INCONSISTENT")


def open_offer(books: Books, offer: Offer) -> Trade:
    """The customer scans the code or logs in: now the trade exists. Raises Refusal when the offer is over."""
    check_offer(books, offer)
    app = apps.get(books.connection, offer.app_id)
    existing = trade_records.find_by_number(
        books.connection, seller_id=app.seller_id, out_trade_no=offer.out_trade_no
    )
    if existing is not None:
        return existing
    if offer.valid_until is not None and offer.valid_until <= books.time:
        raise business("ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR")
    trade_no = f"{books.now:%Y%m%d}22001{secrets.randbelow(10**15):015d}"  # 28 digits
    books.connection.execute(
        "INSERT INTO trades (trade_no, app_id, seller_id, out_trade_no, product, total_fen, subject, body,"
        " passback_params, notify_url, charset, status, created_at, expires_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            trade_no,
            app.app_id,
            app.seller_id,
            offer.out_trade_no,
            offer.product,
            offer.total_fen,
            offer.subject,
            offer.body,
            offer.passback_params,
            offer.notify_url,
            offer.charset,
            WAITING,
            books.time,
            offer.trade_expires_at(books.now),
        ),
    )
    return trade_records.get(books.connection, trade_no)


def pay(books: Books, trade: Trade) -> Trade:
    """Raises Refusal when the trade can no longer be paid."""
    app = apps.get(books.connection, trade.app_id)
    status = SUCCESS if app.refund_days else FINISHED
    paid = books.connection.execute(
        "UPDATE trades SET status = ?, paid_at = ? WHERE trade_no = ? AND status = ? AND expires_at > ?",
        (status, books.time, trade.trade_no, WAITING, books.time),
    )
    if paid.rowcount != 1:
        raise business("ACQ.TRADE_HAS_SUCCESS" if trade.is_paid else "ACQ.TRADE_HAS_CLOSE")
    trade = trade_records.get(books.connection, trade.trade_no)
    ledger.book_payment(books, trade, fee_fen=app.fee_of(trade.total_fen))
    notices.report(books, app, trade)
    return trade


def close_unpaid(books: Books, trade: Trade, *, notify_url: str = "") -> Trade:
    """Only a trade in WAIT_BUYER_PAY can be closed: error codes of open/02e7gn. Raises Refusal."""
    closed = books.connection.execute(
        "UPDATE trades SET status = ?, closed_at = ? WHERE trade_no = ? AND status = ?",
        (CLOSED, books.time, trade.trade_no, WAITING),
    )
    if closed.rowcount != 1:
        raise business("ACQ.TRADE_STATUS_ERROR")
    trade = trade_records.get(books.connection, trade.trade_no)
    notices.report(books, apps.get(books.connection, trade.app_id), trade, url=notify_url)
    return trade


def close_overdue(books: Books) -> None:
    """Closes what was not paid in time, and finishes what can no longer be refunded."""
    for row in books.connection.execute(
        "SELECT * FROM trades WHERE status = 'WAIT_BUYER_PAY' AND expires_at <= ?", (books.time,)
    ).fetchall():
        close_unpaid(books, Trade(**dict(row)))
    for app in apps.all_of(books.connection):
        limit = write_time(books.now - timedelta(days=app.refund_days))
        for row in books.connection.execute(
            "SELECT * FROM trades WHERE app_id = ? AND status = 'TRADE_SUCCESS' AND paid_at <= ?",
            (app.app_id, limit),
        ).fetchall():
            _finish(books, app, Trade(**dict(row)))


def _finish(books: Books, app: apps.App, trade: Trade) -> None:
    books.connection.execute("UPDATE trades SET status = ? WHERE trade_no = ?", (FINISHED, trade.trade_no))
    notices.report(books, app, trade_records.get(books.connection, trade.trade_no))


NOT_FOUND_DETAILS = {
    "buyer_pay_amount": "0.00",
    "invoice_amount": "0.00",
    "point_amount": "0.00",
    "receipt_amount": "0.00",
}


def describe(trade: Trade, options: Collection[str]) -> dict[str, object]:
    """Fields of the answer to alipay.trade.query: open/02ekfq; amounts of an unpaid trade are 0.00."""
    paid = write_yuan(trade.total_fen if trade.is_paid else 0)
    answer: dict[str, object] = {
        "buyer_logon_id": BUYER_LOGON_ID,
        "buyer_pay_amount": paid,
        "buyer_user_id": BUYER_ID,
        "buyer_user_type": "PRIVATE",
        "invoice_amount": paid,
        "out_trade_no": trade.out_trade_no,
        "point_amount": "0.00",
        "receipt_amount": paid,
        "total_amount": write_yuan(trade.total_fen),
        "trade_no": trade.trade_no,
        "trade_status": trade.status,
    }
    if trade.paid_at is not None:
        answer["send_pay_date"] = trade.paid_at
        if "fund_bill_list" in options:
            answer["fund_bill_list"] = [{"amount": paid, "fund_channel": "ALIPAYACCOUNT"}]
    return answer


def paid_within(books: Books, trade: Trade, limit: timedelta) -> bool:
    return trade.paid_at is not None and books.now - read_time(trade.paid_at) <= limit


def not_found(*, out_trade_no: str) -> Refusal:
    return business("ACQ.TRADE_NOT_EXIST", **({"out_trade_no": out_trade_no} if out_trade_no else {}))
