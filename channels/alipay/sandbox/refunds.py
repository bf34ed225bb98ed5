"""Refunds: alipay.trade.refund (open/6c0cdd7d), its query (open/02e7gp), and alipay.trade.cancel (open/02ekfr)."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from channels.alipay.sandbox import apps, ledger, notices, trade_records, trades
from channels.alipay.sandbox.amounts import write_yuan
from channels.alipay.sandbox.books import Books
from channels.alipay.sandbox.clock import write_time
from channels.alipay.sandbox.faults import Fault
from channels.alipay.sandbox.notices import RefundReport
from channels.alipay.sandbox.refusals import business
from channels.alipay.sandbox.trade_records import BUYER_ID, BUYER_LOGON_ID, CLOSED, FINISHED, WAITING, Trade

CANCEL_WINDOW = timedelta(hours=24)  # alipay.trade.cancel works for trades paid within 24 hours
NOTHING_REFUNDED = {"refund_fee": "0.00", "send_back_fee": "0.00"}


@dataclass(frozen=True)
class SandboxRefund:
    trade_no: str
    out_request_no: str
    amount_fen: int
    reason: str
    state: str
    origin: str
    requested_at: str
    decided_at: str | None
    due_at: str | None
    fails_later: int


def refund(
    books: Books,
    trade: Trade,
    *,
    amount_fen: int,
    out_request_no: str,
    reason: str,
    behaviour: Fault | None = None,
) -> bool:
    """Refunds once for each out_request_no. Returns whether money moved by this call (`fund_change`). Raises Refusal.

    Without an out_request_no only all of the trade can be refunded, and the number is then the out_trade_no.
    """
    number = out_request_no or trade.out_trade_no
    earlier = find(books, trade.trade_no, number)
    if earlier is not None and earlier.amount_fen != amount_fen:
        raise business("ACQ.DISCORDANT_REPEAT_REQUEST", out_trade_no=trade.out_trade_no, **NOTHING_REFUNDED)
    if earlier is not None and earlier.state != "failed":
        return False
    _check(trade, amount_fen, out_request_no, pending_fen=_pending_fen(books, trade))
    due_at = write_time(books.now + timedelta(seconds=(behaviour.seconds or 0) if behaviour else 0))
    books.connection.execute(
        "INSERT OR REPLACE INTO refunds (trade_no, out_request_no, amount_fen, reason, state, origin, requested_at,"
        " due_at, fails_later) VALUES (?, ?, ?, ?, 'pending', 'api', ?, ?, ?)",
        (
            trade.trade_no,
            number,
            amount_fen,
            reason,
            books.time,
            due_at,
            int(behaviour is not None and behaviour.kind == "refund_fails_later"),
        ),
    )
    if behaviour is not None:
        return False
    _succeed(books, trade, number, amount_fen)
    return True


def refund_in_console(books: Books, trade: Trade, *, amount_fen: int, number: str) -> None:
    """The merchant refunds in Alipay's console, without the API: the number is not one that we have given."""
    if find(books, trade.trade_no, number) is not None:
        raise ValueError(f"number: {number} is used")
    _check(trade, amount_fen, number, pending_fen=_pending_fen(books, trade))
    _insert(books, trade, number, amount_fen, origin="console")


def cancel(books: Books, trade: Trade) -> str:
    """Closes an unpaid trade, refunds a paid one. Returns the action: close or refund. Raises Refusal."""
    if trade.product != apps.FACE_TO_FACE:
        raise business("ACQ.CANCEL_NOT_ALLOWED")
    if trade.status == WAITING:
        trades.close_unpaid(books, trade)
        return "close"
    if trade.status == CLOSED:
        return "refund" if trade.is_paid else "close"
    if trade.status == FINISHED:
        raise business("ACQ.TRADE_HAS_FINISHED")
    if trade.refunded_fen or _pending_fen(books, trade):
        raise business("ACQ.REASON_TRADE_REFUND_FEE_ERR")
    if not trades.paid_within(books, trade, CANCEL_WINDOW):
        raise business("ACQ.TRADE_CANCEL_TIME_OUT")
    _insert(books, trade, trade.out_trade_no, trade.total_fen, origin="cancel")
    return "refund"


def decide_pending(books: Books) -> None:
    """Decides the refunds that a fault left pending and whose time has come."""
    rows = books.connection.execute(
        "SELECT * FROM refunds WHERE state = 'pending' AND due_at <= ?", (books.time,)
    ).fetchall()
    for row in rows:
        pending = SandboxRefund(**dict(row))
        trade = trade_records.get(books.connection, pending.trade_no)
        if pending.fails_later or ledger.balance_of(books, trade.seller_id) < pending.amount_fen:
            books.connection.execute(
                "UPDATE refunds SET state = 'failed', decided_at = ? WHERE trade_no = ? AND out_request_no = ?",
                (books.time, pending.trade_no, pending.out_request_no),
            )
        else:
            _succeed(books, trade, pending.out_request_no, pending.amount_fen)


def find(books: Books, trade_no: str, out_request_no: str) -> SandboxRefund | None:
    row = books.connection.execute(
        "SELECT * FROM refunds WHERE trade_no = ? AND out_request_no = ?", (trade_no, out_request_no)
    ).fetchone()
    return None if row is None else SandboxRefund(**dict(row))


def describe_call(
    trade: Trade, found: SandboxRefund | None, options: Collection[str], *, is_changed: bool
) -> dict[str, object]:
    """Answer to alipay.trade.refund. refund_fee is all that the trade has refunded so far."""
    refunded = write_yuan(trade.refunded_fen)
    answer: dict[str, object] = {
        "buyer_logon_id": BUYER_LOGON_ID,
        "buyer_user_id": BUYER_ID,
        "fund_change": "Y" if is_changed else "N",
        "out_trade_no": trade.out_trade_no,
        "refund_fee": refunded,
        "send_back_fee": "0.00",
        "trade_no": trade.trade_no,
    }
    if found is not None and found.decided_at is not None:
        answer["gmt_refund_pay"] = found.decided_at
    if "refund_detail_item_list" in options:
        answer["refund_detail_item_list"] = [{"amount": refunded, "fund_channel": "ALIPAYACCOUNT"}]
        answer["send_back_fee"] = refunded
    return answer


def describe(trade: Trade, found: SandboxRefund | None, options: Collection[str]) -> dict[str, object]:
    """Answer to the refund query: refund_status REFUND_SUCCESS, or nothing when there is no successful refund."""
    if found is None or found.state != "succeeded":
        return {}
    amount = write_yuan(found.amount_fen)
    answer: dict[str, object] = {
        "out_request_no": found.out_request_no,
        "out_trade_no": trade.out_trade_no,
        "refund_amount": amount,
        "refund_status": "REFUND_SUCCESS",
        "total_amount": write_yuan(trade.total_fen),
        "trade_no": trade.trade_no,
    }
    if "gmt_refund_pay" in options and found.decided_at is not None:
        answer["gmt_refund_pay"] = found.decided_at
    if "refund_detail_item_list" in options:
        answer["refund_detail_item_list"] = [{"amount": amount, "fund_channel": "ALIPAYACCOUNT"}]
        answer["send_back_fee"] = amount
    return answer


def _check(trade: Trade, amount_fen: int, out_request_no: str, *, pending_fen: int) -> None:
    details = {"out_trade_no": trade.out_trade_no, **NOTHING_REFUNDED}
    if not trade.is_paid:
        raise business("ACQ.TRADE_STATUS_ERROR", **details)
    if trade.status == FINISHED:
        raise business("ACQ.TRADE_HAS_FINISHED", **details)
    if trade.status == CLOSED:
        raise business("ACQ.TRADE_HAS_CLOSE", **details)
    if not out_request_no and amount_fen != trade.total_fen:
        raise business("ACQ.REFUND_AMT_NOT_EQUAL_TOTAL", **details)
    if trade.refunded_fen + pending_fen + amount_fen > trade.total_fen:
        raise business("ACQ.REASON_TRADE_REFUND_FEE_ERR", **details)


def _pending_fen(books: Books, trade: Trade) -> int:
    row = books.connection.execute(
        "SELECT COALESCE(SUM(amount_fen), 0) FROM refunds WHERE trade_no = ? AND state = 'pending'",
        (trade.trade_no,),
    ).fetchone()
    return int(row[0])


def _insert(books: Books, trade: Trade, number: str, amount_fen: int, *, origin: str) -> None:
    books.connection.execute(
        "INSERT OR REPLACE INTO refunds (trade_no, out_request_no, amount_fen, reason, state, origin, requested_at)"
        " VALUES (?, ?, ?, '', 'pending', ?, ?)",
        (trade.trade_no, number, amount_fen, origin, books.time),
    )
    _succeed(books, trade, number, amount_fen)


def _succeed(books: Books, trade: Trade, number: str, amount_fen: int) -> None:
    ledger.book_refund(books, trade, out_request_no=number, amount_fen=amount_fen)
    books.connection.execute(
        "UPDATE refunds SET state = 'succeeded', decided_at = ? WHERE trade_no = ? AND out_request_no = ?",
        (books.time, trade.trade_no, number),
    )
    books.connection.execute(
        "UPDATE trades SET refunded_fen = refunded_fen + ?, status = CASE WHEN refunded_fen + ? = total_fen"
        " THEN 'TRADE_CLOSED' ELSE status END, closed_at = CASE WHEN refunded_fen + ? = total_fen"
        " THEN ? ELSE closed_at END WHERE trade_no = ?",
        (amount_fen, amount_fen, amount_fen, books.time, trade.trade_no),
    )
    trade = trade_records.get(books.connection, trade.trade_no)
    report = RefundReport(out_request_no=number, total_fen=trade.refunded_fen, refunded_at=books.time)
    notices.report(books, apps.get(books.connection, trade.app_id), trade, refund=report)
