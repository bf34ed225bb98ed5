"""The lines of a merchant's statement, read from the ledger in the order in which they changed the balance."""

import datetime as dt
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from ledger.chart import FEE_KINDS, MERCHANT_KINDS
from ledger.models import BALANCE_KINDS, TransferEvent

# `created_at` is at or a little after the time that decides the day, so the index of the merchant's transfers narrows
# to these days and one more, and `day` is exact.
_LINES = """
SELECT transfer.id, transfer.created_at, transfer.event, transfer.source, min(account.channel),
       bool_or(holding.merchant_id IS NOT NULL),
       coalesce(sum(signed.amount) FILTER (WHERE NOT account.kind = ANY(%(fee_kinds)s)), 0)::bigint,
       coalesce(sum(signed.amount) FILTER (WHERE account.kind = ANY(%(fee_kinds)s)), 0)::bigint
FROM ledger_transfers AS transfer
JOIN ledger_entries AS entry ON entry.transfer_id = transfer.id
JOIN ledger_accounts AS account ON account.id = entry.account_id
LEFT JOIN channel_accounts AS holding ON holding.id = account.channel_account_id
CROSS JOIN LATERAL (
    SELECT CASE entry.direction WHEN 'credit' THEN entry.amount_minor ELSE -entry.amount_minor END AS amount
) AS signed
WHERE transfer.merchant_id = %(merchant_id)s AND transfer.environment = %(environment)s
  AND transfer.event = ANY(%(events)s) AND transfer.kind = ANY(%(transfer_kinds)s)
  AND transfer.created_at >= %(begins_at)s AND transfer.created_at < %(ends_before)s
  AND transfer.day BETWEEN %(first_day)s AND %(last_day)s
  AND account.merchant_id = transfer.merchant_id AND account.currency = %(currency)s
  AND account.kind = ANY(%(kinds)s) AND entry.phase = 'posted'
GROUP BY transfer.id
ORDER BY transfer.created_at, transfer.id
"""
_ONE_DAY = dt.timedelta(days=1)
_CHUNK_SIZE = 2_000


@dataclass(frozen=True, slots=True)
class MerchantStatementIdentity:
    """One statement of a merchant: of its balance in one currency, from the first to the last day (UTC)."""

    merchant_id: uuid.UUID
    environment: str
    currency: str
    first_day: dt.date
    last_day: dt.date


@dataclass(frozen=True, slots=True)
class MerchantStatementLine:
    """A transfer that changed the balance. Amounts are signed: `fee_minor` is negative when the platform charged it.
    `is_own_account`: the merchant's own account at the channel holds the money."""

    transfer_id: uuid.UUID
    created_at: dt.datetime
    event: TransferEvent
    source: str
    channel: str
    is_own_account: bool
    amount_minor: int
    fee_minor: int

    @property
    def net_minor(self) -> int:
        return self.amount_minor + self.fee_minor


@contextmanager
def open_lines(identity: MerchantStatementIdentity) -> Iterator[Iterator[MerchantStatementLine]]:
    """Yields the lines as a stream, so that memory does not grow with their number.

    They are read in one transaction, because a cursor that outlives its transaction needs a session of its own, and a
    pooler has none. The caller therefore keeps nobody waiting inside: a slow reader would hold the transaction open.
    """
    with transaction.atomic(), connection.chunked_cursor() as cursor:
        cursor.execute(
            _LINES,
            {
                "merchant_id": identity.merchant_id,
                "environment": identity.environment,
                "currency": identity.currency,
                "first_day": identity.first_day,
                "last_day": identity.last_day,
                "begins_at": _midnight(identity.first_day),
                "ends_before": _midnight(identity.last_day + 2 * _ONE_DAY),
                "events": TransferEvent.values,
                "transfer_kinds": [kind.value for kind in BALANCE_KINDS],
                "kinds": [kind.value for kind in MERCHANT_KINDS],
                "fee_kinds": [kind.value for kind in FEE_KINDS],
            },
        )
        yield _fetch_lines(cursor)


def _fetch_lines(cursor: CursorWrapper) -> Iterator[MerchantStatementLine]:
    while rows := cursor.fetchmany(_CHUNK_SIZE):
        for transfer_id, created_at, event, *rest in rows:
            yield MerchantStatementLine(transfer_id, created_at, TransferEvent(event), *rest)


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), dt.UTC)
