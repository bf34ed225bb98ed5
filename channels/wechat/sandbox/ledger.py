"""Writes a merchant's money movements into the append-only ledger. Amounts are in fen; minus leaves the merchant."""

import sqlite3

from channels.wechat.sandbox.merchants import SandboxMerchant


def compute_fee(merchant: SandboxMerchant, amount: int) -> int:
    """The fee of an amount, rounded half up to a fen."""
    return (amount * merchant.fee_per_myriad + 5000) // 10000


def get_balance(db: sqlite3.Connection, mchid: str, before: float | None = None) -> int:
    """What the merchant has now, or had at the time `before`."""
    sql = "SELECT COALESCE(SUM(amount), 0) AS balance FROM ledger WHERE mchid = ?"
    if before is None:
        row = db.execute(sql, [mchid]).fetchone()
    else:
        row = db.execute(f"{sql} AND at < ?", [mchid, before]).fetchone()
    return int(row["balance"])


def write_entry(
    db: sqlite3.Connection,
    mchid: str,
    kind: str,
    amount: int,
    at: float,
    *,
    order_id: int | None = None,
    refund_id: int | None = None,
) -> None:
    """Writes nothing for an amount of 0, such as the fee of one fen."""
    if amount:
        db.execute(
            "INSERT INTO ledger (mchid, kind, amount, order_id, refund_id, at) VALUES (?, ?, ?, ?, ?, ?)",
            [mchid, kind, amount, order_id, refund_id, at],
        )
