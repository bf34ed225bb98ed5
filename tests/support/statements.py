"""Counts the statements and commits of a piece of work."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from django.db import connection
from django.test.utils import CaptureQueriesContext

BUSINESS_TABLES = (
    "orders",
    "order_items",
    "payments",
    "payment_attempts",
    "refunds",
    "saga_",
    "outbox_",
    "idempotency_keys",
)


@dataclass
class Cost:
    """Records every statement on the platform's connection. The simulator has its own connection, which does not
    count."""

    sql: list[str] = field(default_factory=list)

    @property
    def commits(self) -> int:
        """Statements outside of a transaction commit by themselves; those that only read are not counted."""
        alone, inside = 0, False
        for sql in self.sql:
            inside = sql == "BEGIN" or (inside and sql not in ("COMMIT", "ROLLBACK"))
            alone += not inside and sql not in ("COMMIT", "ROLLBACK") and not sql.startswith("SELECT")
        return self.sql.count("COMMIT") + alone

    @property
    def statements(self) -> list[str]:
        return [sql for sql in self.sql if sql not in ("BEGIN", "COMMIT", "ROLLBACK")]

    def on_business_tables(self) -> list[str]:
        return [sql for sql in self.statements if any(table in sql for table in BUSINESS_TABLES)]


@contextmanager
def cost() -> Iterator[Cost]:
    found = Cost()
    with CaptureQueriesContext(connection) as captured:
        yield found
    found.sql.extend(query["sql"].strip() for query in captured.captured_queries)
