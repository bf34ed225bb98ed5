"""Trades as the bank stores them, and how they are found."""

import sqlite3
from dataclasses import dataclass

from channels.alipay.sandbox.refusals import business

WAITING, CLOSED, SUCCESS, FINISHED = "WAIT_BUYER_PAY", "TRADE_CLOSED", "TRADE_SUCCESS", "TRADE_FINISHED"
BUYER_ID = "2088102146225135"
BUYER_LOGON_ID = "159****5620"  # masked as in the examples of open/02ekfq


@dataclass(frozen=True)
class Trade:
    trade_no: str
    app_id: str
    seller_id: str
    out_trade_no: str
    product: str
    total_fen: int
    refunded_fen: int
    subject: str
    body: str
    passback_params: str
    notify_url: str
    charset: str
    status: str
    created_at: str
    expires_at: str
    paid_at: str | None
    closed_at: str | None

    @property
    def is_paid(self) -> bool:
        """Money has come, whatever was refunded later."""
        return self.paid_at is not None


def find_by_number(
    connection: sqlite3.Connection, *, seller_id: str, trade_no: str = "", out_trade_no: str = ""
) -> Trade | None:
    """trade_no wins when both are given: open/02ekfq."""
    name, value = ("trade_no", trade_no) if trade_no else ("out_trade_no", out_trade_no)
    row = connection.execute(
        f"SELECT * FROM trades WHERE seller_id = ? AND {name} = ?",  # noqa: S608 - one of two names
        (seller_id, value),
    ).fetchone()
    return None if row is None else Trade(**dict(row))


def get(connection: sqlite3.Connection, trade_no: str) -> Trade:
    row = connection.execute("SELECT * FROM trades WHERE trade_no = ?", (trade_no,)).fetchone()
    if row is None:
        raise business("ACQ.TRADE_NOT_EXIST")
    return Trade(**dict(row))


def all_of(connection: sqlite3.Connection, seller_id: str = "") -> list[Trade]:
    rows = connection.execute(
        "SELECT * FROM trades WHERE seller_id = ? OR ? = '' ORDER BY created_at, rowid",
        (seller_id, seller_id),
    )
    return [Trade(**dict(row)) for row in rows]
