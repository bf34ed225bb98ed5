"""Reads the platform's tables and the bank's records with plain SQL. The integrity checks compare them
(`monitoring.integrity`).

Shares no code with the engine or the gateway, as an auditor's program would not.
"""

import datetime as dt
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg
from psycopg.rows import dict_row

from monitoring.integrity.check import Violation
from monitoring.integrity.search import GRACE, NO_BOOKS, SETTLED, find_all_violations
from scripts.local.config import Database
from scripts.local.postgres import connect
from tests.support.waiting import LOADED_SECONDS, wait_until

Row = dict[str, Any]
TERMINAL = ("completed", "compensated", "failed")


class Books:
    """`read_sandbox_books` reads the records of the sandboxes, which are compared when no work is open."""

    def __init__(
        self,
        database: Database,
        read_sandbox_books: Callable[[], Mapping[str, str | None]] = lambda: NO_BOOKS,
    ) -> None:
        self._database = database
        self._read_sandbox_books = read_sandbox_books
        self._connection: psycopg.Connection[Any] | None = None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # --- Reading ----------------------------------------------------------------------------------------

    def rows(self, query: str, *parameters: Any) -> Sequence[Row]:
        try:
            return self._read(query, parameters)
        except psycopg.OperationalError:  # the server was restarted since the last query
            self.close()
            return self._read(query, parameters)

    def _read(self, query: str, parameters: Sequence[Any]) -> Sequence[Row]:
        if self._connection is None:
            self._connection = connect(self._database)
        with self._connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, parameters).fetchall()

    def row(self, query: str, *parameters: Any) -> Row | None:
        found = self.rows(query, *parameters)
        assert len(found) <= 1, f"{len(found)} rows where one was expected: {query}"
        return found[0] if found else None

    def key(self, key: str) -> Row | None:
        return self.row("SELECT * FROM idempotency_keys WHERE key = %s", key)

    def payment(self, *, order_no: str) -> Row | None:
        return self.row("SELECT * FROM payments WHERE order_no = %s", order_no)

    def payment_by_no(self, payment_no: str) -> Row:
        found = self.row("SELECT * FROM payments WHERE payment_no = %s", payment_no)
        assert found is not None, payment_no
        return found

    def saga(self, saga_id: uuid.UUID) -> Row | None:
        return self.row("SELECT * FROM saga_instances WHERE id = %s", saga_id)

    def saga_of_key(self, key: str) -> Row | None:
        """Returns the saga that the write with this key started."""
        return self.row(
            "SELECT i.* FROM idempotency_keys k JOIN saga_instances i ON i.id = k.resource_id WHERE k.key = %s",
            key,
        )

    def require_saga(self, key: str) -> Row:
        saga = self.saga_of_key(key)
        assert saga is not None, key
        return saga

    def ledger(self, payment_no: str) -> dict[str, list[int]]:
        """Returns the bank's movements of money, by kind, in order."""
        found: dict[str, list[int]] = {}
        for row in self.rows(
            "SELECT kind, amount FROM simulator_ledger WHERE reference = %s ORDER BY id", payment_no
        ):
            found.setdefault(row["kind"], []).append(row["amount"])
        return found

    # --- Waiting ----------------------------------------------------------------------------------------

    def wait_for_saga(self, key: str, seconds: float, status: str) -> Row:
        """Waits until the saga of this key has ended in this status by itself. The test of recovery times measures how
        fast."""
        saga = wait_until(lambda: self._at_rest(key), seconds + LOADED_SECONDS, f"the saga of {key}")
        assert saga["status"] == status, saga
        return saga

    def wait_for_slow_call(self, key: str, operation: str = "create") -> Row | None:
        """Returns the saga of this key while its call is slow at the bank. None when the call ended before it was
        seen."""
        query = (
            "SELECT i.* FROM idempotency_keys k JOIN saga_instances i ON i.id = k.resource_id"
            " JOIN saga_steps s ON s.saga_id = i.id AND s.in_doubt"
            " JOIN simulator_calls c ON c.operation = %s AND (c.key = i.business_id OR c.key LIKE i.id || ':%%')"
            " WHERE k.key = %s AND i.lease_owner LIKE '%%:%%'"
        )

        def look() -> Row | None:
            return self.row(query, operation, key) or self._at_rest(key)

        seen = wait_until(look, LOADED_SECONDS, f"the call to {operation} of {key}", interval=0.02)
        return None if seen["status"] in TERMINAL else seen

    def wait_until_settled(self, seconds: float, *, supervise: Callable[[], None]) -> None:
        """Waits until no saga is open and the integrity checks find nothing, unfinished work included. Processes are
        supervised meanwhile, because a worker can end long after the fault that ends it."""
        active = (
            "SELECT id FROM saga_instances WHERE status IN ('pending', 'in_progress') AND NOT needs_attention"
        )

        def at_rest() -> bool:
            supervise()
            return not self.rows(active)

        wait_until(at_rest, seconds + LOADED_SECONDS, "the last saga to come to rest")
        self.require_sound(grace=SETTLED)

    def _at_rest(self, key: str) -> Row | None:
        saga = self.saga_of_key(key)
        if saga is None:
            return None
        return saga if saga["status"] in TERMINAL or saga["needs_attention"] else None

    # --- Checking ----------------------------------------------------------------------------------------

    def require_terminal(self, saga_id: uuid.UUID, status: str) -> None:
        """Requires that the saga has ended in this status and that the integrity checks find nothing."""
        saga = self.saga(saga_id)
        assert saga is not None
        assert saga["status"] == status, saga
        assert not saga["needs_attention"], saga
        self.require_sound()

    def require_sound(self, *, grace: dt.timedelta = GRACE) -> None:
        """Requires that the integrity checks find nothing. With `SETTLED`, they also find unfinished work."""
        books = self._read_sandbox_books() if grace == SETTLED else NO_BOOKS
        violations = self._find_violations(grace, books)
        assert not violations, "\n".join(map(str, violations))

    def _find_violations(self, grace: dt.timedelta, books: Mapping[str, str | None]) -> list[Violation]:
        self.rows("SELECT 1")  # a connection that lives
        assert self._connection is not None
        with self._connection.cursor() as cursor:
            return find_all_violations(
                cursor,
                grace=grace,
                skip=["outbox_drained"],  # no relay runs
                books=books,
            )

    def require_one_payment(self, order_no: str) -> Row:
        """Requires one order, one payment, one saga and at most one payment at the bank after all repetitions."""
        payment = self.payment(order_no=order_no)
        assert payment is not None, order_no
        counts = self.row(
            "SELECT (SELECT count(*) FROM orders WHERE order_no = %s) AS orders,"
            " (SELECT count(*) FROM saga_instances WHERE definition = 'payment.create' AND business_id = %s) AS sagas,"
            " (SELECT count(*) FROM simulator_payments WHERE reference = %s) AS at_bank,"
            " (SELECT count(*) FROM outbox_events WHERE subject_id = %s AND type = 'payment.created') AS created",
            order_no,
            payment["payment_no"],
            payment["payment_no"],
            payment["id"],
        )
        assert counts is not None
        assert (counts["orders"], counts["sagas"], counts["created"]) == (1, 1, 1), counts
        assert counts["at_bank"] <= 1, counts
        return payment

    def require_agreement(self, payment: Row) -> None:
        """Requires the same amounts in payment, bank and order."""
        ledger = self.ledger(payment["payment_no"])
        taken = sum(ledger.get("charge", [])) + sum(ledger.get("capture", []))
        assert payment["captured_minor"] == taken, (payment, ledger)
        assert payment["refunded_minor"] == sum(ledger.get("refund", [])), (payment, ledger)
        self.require_sound()
        order = self.row("SELECT status FROM orders WHERE id = %s", payment["order_id"])
        expected = {
            "succeeded": "paid",
            "failed": "cancelled",
            "cancelled": "cancelled",
            "expired": "cancelled",
        }
        assert order is not None
        assert order["status"] == expected.get(payment["status"], order["status"]), (payment, order)

    def require_paid_once(self, order_no: str) -> Row:
        """Requires a succeeded payment with exactly one charge of the full amount."""
        payment = self.require_one_payment(order_no)
        assert payment["status"] == "succeeded", payment
        assert self.ledger(payment["payment_no"]).get("charge") == [payment["amount_minor"]]
        self.require_agreement(payment)
        events = self.rows(
            "SELECT type FROM outbox_events WHERE subject_id = %s AND type = 'payment.succeeded'",
            payment["id"],
        )
        assert len(events) == 1, events
        return payment

    def require_closed_without_money(self, order_no: str, status: str) -> Row:
        payment = self.require_one_payment(order_no)
        assert payment["status"] == status, payment
        assert self.ledger(payment["payment_no"]) == {}
        self.require_agreement(payment)
        return payment
