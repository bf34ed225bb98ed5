"""One transaction over a whole statement: it may take minutes, and no two of one account run at the same time."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

from settlements.parsers.base import StatementScope

STATEMENT_TIMEOUT = "60min"


@contextmanager
def statement_transaction(scope: StatementScope) -> Iterator[None]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}'")
        name = _build_lock_name(scope.channel, scope.environment, scope.channel_account_id)
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])
        yield


def try_share_account(channel: str, environment: str, channel_account_id: uuid.UUID | None) -> bool:
    """Keeps statements of the account from being imported or matched until the caller's transaction ends. Returns False
    at once when one is. Others may share the account."""
    with connection.cursor() as cursor:
        name = _build_lock_name(channel, environment, channel_account_id)
        cursor.execute("SELECT pg_try_advisory_xact_lock_shared(hashtextextended(%s, 0))", [name])
        (is_shared,) = cursor.fetchone()
    return bool(is_shared)


def _build_lock_name(channel: str, environment: str, channel_account_id: uuid.UUID | None) -> str:
    return f"settlements:{channel}:{environment}:{channel_account_id}"
