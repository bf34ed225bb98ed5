"""One transaction over a whole statement: it may take minutes, and no two of one account run at the same time."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

from settlements.parsers.base import StatementScope

STATEMENT_TIMEOUT = "60min"


@contextmanager
def statement_transaction(scope: StatementScope) -> Iterator[None]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}'")
        name = f"settlements:{scope.channel}:{scope.environment}:{scope.channel_account_id}"
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])
        yield
