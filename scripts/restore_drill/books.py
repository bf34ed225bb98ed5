"""Compares three books after the restore: what was confirmed to the merchant, the bank's, and ours."""

from dataclasses import dataclass

import psycopg

from scripts.local.config import Database
from scripts.local.postgres import connect
from scripts.restore_drill.load import DrillMerchant, DrillOrder

_TOTALS = """
SELECT (SELECT coalesce(sum(amount) FILTER (WHERE kind IN ('charge', 'capture')), 0) FROM simulator_ledger),
       (SELECT coalesce(sum(CASE kind WHEN 'refund' THEN amount WHEN 'refund_return' THEN -amount END), 0)
        FROM simulator_ledger),
       (SELECT sum(captured_minor) FROM payments), (SELECT sum(refunded_minor) FROM payments)
"""
# The bank's books and ours for each payment; those that differ.
_DIFFERING = """
SELECT coalesce(l.reference, p.payment_no) FROM (
    SELECT reference, coalesce(sum(amount) FILTER (WHERE kind IN ('charge', 'capture')), 0) AS taken,
           coalesce(sum(amount) FILTER (WHERE kind = 'refund'), 0) AS refunded
    FROM simulator_ledger GROUP BY reference) AS l
FULL JOIN (SELECT payment_no, channel_reference, captured_minor, refunded_minor FROM payments
           WHERE channel = 'simulator' OR sandbox) AS p ON p.channel_reference = l.reference
WHERE coalesce(l.taken, 0) <> coalesce(p.captured_minor, 0)
   OR coalesce(l.refunded, 0) <> coalesce(p.refunded_minor, 0)
"""
_UNSETTLED = """
SELECT (SELECT count(*) FROM saga_instances WHERE status IN ('pending', 'in_progress'))
     + (SELECT count(*) FROM payments WHERE status = 'processing')
     + (SELECT count(*) FROM outbox_events WHERE fanned_out_at IS NULL)
"""


@dataclass(frozen=True)
class Totals:
    """In minor units. The demo's payments are in both books."""

    bank_taken: int
    bank_refunded: int
    taken: int
    refunded: int

    @property
    def agree(self) -> bool:
        return (self.bank_taken, self.bank_refunded) == (self.taken, self.refunded)


def read_totals(database: Database) -> Totals:
    return Totals(*map(int, _read(database, _TOTALS)[0]))


def find_differing(database: Database) -> list[str]:
    return [str(row[0]) for row in _read(database, _DIFFERING)]


def is_settled(database: Database) -> bool:
    return int(_read(database, _UNSETTLED)[0][0]) == 0


def count_charges(database: Database) -> int:
    return int(_read(database, "SELECT count(*) FROM simulator_ledger")[0][0])


def count_reviews(database: Database) -> int:
    query = "SELECT count(*) FROM payment_reviews WHERE code = 'adopted' AND resolved_at IS NULL"
    return int(_read(database, query)[0][0])


def find_lost(merchant: DrillMerchant) -> list[str]:
    """The payments and refunds that were answered, and that the API does not know with the same numbers."""
    lost = []
    for order in merchant.orders:
        status, answer = merchant.send("GET", f"/payments/{order.payment_no}")
        if status != 200 or not _is_same(order, answer["data"]):
            lost.append(f"{order.payment_no}: {status} {answer}")
            continue
        for refund_no in order.refunded:
            status, answer = merchant.send("GET", f"/refunds/{refund_no}")
            if status != 200 or answer["data"]["status"] != "succeeded":
                lost.append(f"{refund_no}: {status} {answer}")
    return lost


def _is_same(order: DrillOrder, seen: dict[str, object]) -> bool:
    """A payment that was open may have been decided since."""
    is_same_status = order.status in ("pending", "processing") or seen["status"] == order.status
    return seen["order_no"] == order.order_no and is_same_status


def find_doubled(merchant: DrillMerchant, orders: list[DrillOrder]) -> list[str]:
    """Repeats requests whose keys the restored database has lost. Each must lead to the same payment."""
    doubled = []
    for order in orders:
        status, answer = merchant.send("POST", "/payments", order.body, order.key)
        found = answer["details"] if status == 409 else answer.get("data", {})
        if found.get("payment_no") != order.payment_no:
            doubled.append(f"{order.payment_no}: {status} {answer}")
    return doubled


def _read(database: Database, query: str) -> list[psycopg.rows.TupleRow]:
    with connect(database) as connection:
        return connection.execute(query).fetchall()
