"""The append-only ledger of the money: what merchants received, gave back and withdrew. The database guards it."""

import sqlite3
from dataclasses import dataclass

from channels.alipay.sandbox.books import Books
from channels.alipay.sandbox.refusals import business
from channels.alipay.sandbox.trade_records import Trade


@dataclass(frozen=True)
class Entry:
    """`amount_fen` is negative when the money leaves the seller's account."""

    id: int
    seller_id: str
    kind: str
    amount_fen: int
    trade_no: str
    out_trade_no: str
    out_request_no: str
    booked_at: str


def book_payment(books: Books, trade: Trade, *, fee_fen: int) -> None:
    _book(books, trade.seller_id, "payment", trade.total_fen, trade=trade)
    if fee_fen:
        _book(books, trade.seller_id, "fee", -fee_fen, trade=trade)


def book_refund(books: Books, trade: Trade, *, out_request_no: str, amount_fen: int) -> None:
    """Raises Refusal when the seller's account does not hold the money."""
    if balance_of(books, trade.seller_id) < amount_fen:
        raise business("ACQ.SELLER_BALANCE_NOT_ENOUGH")
    _book(books, trade.seller_id, "refund", -amount_fen, trade=trade, out_request_no=out_request_no)


def book_transfer(books: Books, *, seller_id: str, amount_fen: int) -> None:
    """The merchant withdraws money (negative) or puts it in. Raises ValueError when the account does not hold it."""
    if balance_of(books, seller_id) + amount_fen < 0:
        raise ValueError("amount: the account does not hold it")
    _book(books, seller_id, "deposit" if amount_fen > 0 else "withdrawal", amount_fen)


def balance_of(books: Books, seller_id: str) -> int:
    row = books.connection.execute(
        "SELECT COALESCE(SUM(amount_fen), 0) FROM ledger WHERE seller_id = ?", (seller_id,)
    ).fetchone()
    return int(row[0])


def entries(connection: sqlite3.Connection, *, seller_id: str, day: str = "") -> list[Entry]:
    """`day`: the beginning of the entries' time, such as 2026-11-28 or 2026-11; empty: all."""
    rows = connection.execute(
        "SELECT * FROM ledger WHERE seller_id = ? AND substr(booked_at, 1, ?) = ? ORDER BY id",
        (seller_id, len(day), day),
    )
    return [Entry(**dict(row)) for row in rows]


def _book(
    books: Books,
    seller_id: str,
    kind: str,
    amount_fen: int,
    *,
    trade: Trade | None = None,
    out_request_no: str = "",
) -> None:
    books.connection.execute(
        "INSERT INTO ledger (seller_id, kind, amount_fen, trade_no, out_trade_no, out_request_no, booked_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            seller_id,
            kind,
            amount_fen,
            trade.trade_no if trade else "",
            trade.out_trade_no if trade else "",
            out_request_no,
            books.time,
        ),
    )
