"""One transaction over a whole statement: it may take minutes, and no two of one account run at the same time."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction
from django.utils.translation import gettext as _

from common.errors import NotPermitted
from settlements.parsers.base import StatementIdentity

STATEMENT_TIMEOUT = "60min"


@contextmanager
def statement_transaction(identity: StatementIdentity, *, waits: bool = True) -> Iterator[None]:
    """Raises `NotPermitted` when another one runs and the caller does not wait for it."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}'")
        name = _build_lock_name(identity.channel, identity.environment, identity.channel_account_id)
        if waits:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])
        else:
            cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [name])
            if cursor.fetchone() != (True,):
                raise NotPermitted(
                    _(
                        "A statement of this account is being compared at the moment. Try again in some minutes."
                    )
                )
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
