"""Reads the books, for checks that compare them with a merchant's own: in the same process, or over HTTP."""

import json
import urllib.parse
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from channels.wechat.sandbox.books import Books


@dataclass(frozen=True, slots=True)
class BookOrder:
    """Amounts are in fen; times are unix seconds, None: not yet."""

    mchid: str
    out_trade_no: str
    trade_type: str
    state: str
    total: int
    transaction_id: str | None
    created_at: float
    paid_at: float | None
    fee: int


@dataclass(frozen=True, slots=True)
class BookRefund:
    """`source` is `api`, or `merchant_platform` for one that staff made there."""

    mchid: str
    out_refund_no: str
    refund_id: str
    out_trade_no: str
    amount: int
    status: str
    source: str
    created_at: float
    settled_at: float | None
    fee: int


@dataclass(frozen=True, slots=True)
class BookEntry:
    """One money movement; a negative amount leaves the merchant."""

    id: int
    mchid: str
    kind: str
    amount: int
    out_trade_no: str | None
    out_refund_no: str | None
    at: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The books at one moment."""

    orders: tuple[BookOrder, ...]
    refunds: tuple[BookRefund, ...]
    entries: tuple[BookEntry, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Iterable[Mapping[str, Any]]]) -> "Snapshot":
        return cls(
            tuple(BookOrder(**row) for row in value["orders"]),
            tuple(BookRefund(**row) for row in value["refunds"]),
            tuple(BookEntry(**row) for row in value["entries"]),
        )


def read_books(books: Books, mchid: str = "") -> Snapshot:
    """The books of one merchant, or of all."""
    with books.transaction() as db:
        orders = db.execute(
            "SELECT mchid, out_trade_no, trade_type, state, total, transaction_id, created_at, paid_at, fee"
            " FROM orders WHERE ? IN ('', mchid) ORDER BY id",
            [mchid],
        ).fetchall()
        refunds = db.execute(
            "SELECT r.mchid, out_refund_no, r.refund_id, out_trade_no, r.amount, r.status, r.source, r.created_at,"
            " r.settled_at, r.fee FROM refunds r JOIN orders o ON o.id = r.order_id"
            " WHERE ? IN ('', r.mchid) ORDER BY r.id",
            [mchid],
        ).fetchall()
        entries = db.execute(
            "SELECT l.id, l.mchid, kind, l.amount, out_trade_no, out_refund_no, at FROM ledger l"
            " LEFT JOIN orders o ON o.id = l.order_id LEFT JOIN refunds r ON r.id = l.refund_id"
            " WHERE ? IN ('', l.mchid) ORDER BY l.id",
            [mchid],
        ).fetchall()
    return Snapshot(
        tuple(BookOrder(**dict(row)) for row in orders),
        tuple(BookRefund(**dict(row)) for row in refunds),
        tuple(BookEntry(**dict(row)) for row in entries),
    )


def fetch_books(base_url: str, mchid: str = "", timeout_seconds: float = 10) -> Snapshot:
    """The books of a sandbox that runs in another process on this machine. Raises OSError."""
    query = urllib.parse.urlencode({"mchid": mchid})
    with urllib.request.urlopen(f"{base_url}/sandbox/books?{query}", timeout=timeout_seconds) as response:  # noqa: S310
        return Snapshot.from_json(json.load(response))


def find_violations(snapshot: Snapshot) -> list[str]:
    """What is wrong within the books themselves: nothing, unless the sandbox has a defect."""
    moved: dict[tuple[str, str, str | None, str | None], int] = defaultdict(int)
    for entry in snapshot.entries:
        moved[entry.kind, entry.mchid, entry.out_trade_no, entry.out_refund_no] += entry.amount
    violations = []
    for order in snapshot.orders:
        is_paid = order.transaction_id is not None
        if moved["payment", order.mchid, order.out_trade_no, None] != (order.total if is_paid else 0):
            violations.append(f"{order.out_trade_no} is {order.state}, which its ledger entries contradict")
        refunded = sum(
            refund.amount
            for refund in snapshot.refunds
            if (refund.mchid, refund.out_trade_no) == (order.mchid, order.out_trade_no)
            and refund.status != "CLOSED"
        )
        if refunded > order.total:
            violations.append(f"{order.out_trade_no}: refunded {refunded} of {order.total}")
    for refund in snapshot.refunds:
        key = (refund.mchid, refund.out_trade_no, refund.out_refund_no)
        kept = -(moved["refund", *key] + moved["refund_return", *key])
        if kept != (0 if refund.status == "CLOSED" else refund.amount):
            violations.append(
                f"{refund.out_refund_no} is {refund.status}, which its ledger entries contradict"
            )
    return violations
