"""Adds transfers up into daily balances, and reads balances.

A posting writes no balance, because the account of a busy channel would be one row that all payments wait for. It puts
its transfer into a queue; `roll_up` takes transfers out of it and adds them to the daily balances, in one transaction.
So a balance is always the daily balances plus what is still in the queue, however far behind the rollup is.
"""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from ledger.chart import MERCHANT_KINDS

BATCH_SIZE = 5_000

_ROLL_UP = """
WITH batch AS (
    DELETE FROM ledger_rollup_queue WHERE transfer_id IN (
        SELECT transfer_id FROM ledger_rollup_queue ORDER BY transfer_id LIMIT %(limit)s FOR UPDATE)
    RETURNING transfer_id
), added AS (
    INSERT INTO ledger_daily_balances AS known (
        account_id, day, posted_debit_minor, posted_credit_minor, pending_debit_minor, pending_credit_minor,
        entry_count)
    SELECT entry.account_id, transfer.day,
        coalesce(sum(amount_minor) FILTER (WHERE phase = 'posted' AND direction = 'debit'), 0),
        coalesce(sum(amount_minor) FILTER (WHERE phase = 'posted' AND direction = 'credit'), 0),
        coalesce(sum(amount_minor) FILTER (WHERE phase = 'pending' AND direction = 'debit'), 0),
        coalesce(sum(amount_minor) FILTER (WHERE phase = 'pending' AND direction = 'credit'), 0),
        count(*)
    FROM batch
    JOIN ledger_transfers AS transfer ON transfer.id = batch.transfer_id
    JOIN ledger_entries AS entry ON entry.transfer_id = transfer.id
    GROUP BY entry.account_id, transfer.day
    ON CONFLICT (account_id, day) DO UPDATE SET
        posted_debit_minor = known.posted_debit_minor + EXCLUDED.posted_debit_minor,
        posted_credit_minor = known.posted_credit_minor + EXCLUDED.posted_credit_minor,
        pending_debit_minor = known.pending_debit_minor + EXCLUDED.pending_debit_minor,
        pending_credit_minor = known.pending_credit_minor + EXCLUDED.pending_credit_minor,
        entry_count = known.entry_count + EXCLUDED.entry_count
)
SELECT count(*) FROM batch
"""

# Credits less debits: what the platform, or the channel, owes the merchant.
_MERCHANT_BALANCES = """
SELECT currency, sum(posted)::bigint, sum(pending)::bigint
FROM (
    SELECT account.currency,
           balance.posted_credit_minor - balance.posted_debit_minor AS posted,
           balance.pending_credit_minor - balance.pending_debit_minor AS pending
    FROM ledger_accounts AS account JOIN ledger_daily_balances AS balance ON balance.account_id = account.id
    WHERE account.merchant_id = %(merchant_id)s AND account.environment = %(environment)s
      AND account.kind = ANY(%(kinds)s)
    UNION ALL
    SELECT account.currency, CASE WHEN entry.phase = 'posted' THEN signed.amount ELSE 0 END,
           CASE WHEN entry.phase = 'pending' THEN signed.amount ELSE 0 END
    FROM ledger_rollup_queue AS queued
    JOIN ledger_transfers AS transfer ON transfer.id = queued.transfer_id
    JOIN ledger_entries AS entry ON entry.transfer_id = transfer.id
    JOIN ledger_accounts AS account ON account.id = entry.account_id
    CROSS JOIN LATERAL (
        SELECT CASE entry.direction WHEN 'credit' THEN entry.amount_minor ELSE -entry.amount_minor END AS amount
    ) AS signed
    WHERE transfer.merchant_id = %(merchant_id)s AND transfer.environment = %(environment)s
      AND account.merchant_id = transfer.merchant_id AND account.kind = ANY(%(kinds)s)
) AS movements
GROUP BY currency ORDER BY currency
"""


@dataclass(frozen=True, slots=True)
class MerchantBalance:
    """In minor units. `posted_minor` contains refunds and disputes that took place; `reserved_minor` is on its way to
    customers."""

    currency: str
    posted_minor: int
    reserved_minor: int

    @property
    def available_minor(self) -> int:
        """The posted amount, less the reservations of refunds in progress."""
        return self.posted_minor - self.reserved_minor


def roll_up() -> int:
    """Adds all queued transfers up, in transactions of `BATCH_SIZE`. Returns how many there were."""
    total = 0
    while count := _roll_up_batch():
        total += count
    return total


@transaction.atomic
def _roll_up_batch() -> int:
    """Of two rollups at the same time, the second waits for the first at the oldest transfer."""
    with connection.cursor() as cursor:
        cursor.execute(_ROLL_UP, {"limit": BATCH_SIZE})
        (count,) = cursor.fetchone()
    return int(count)


def read_merchant_balances(*, merchant_id: uuid.UUID, environment: str) -> list[MerchantBalance]:
    """One for each currency in which the merchant has accounts. Exact at any moment: one statement reads all of it."""
    parameters: dict[str, Any] = {
        "merchant_id": merchant_id,
        "environment": environment,
        "kinds": [kind.value for kind in MERCHANT_KINDS],
    }
    with connection.cursor() as cursor:
        cursor.execute(_MERCHANT_BALANCES, parameters)
        rows: Iterable[tuple[str, int, int]] = cursor.fetchall()
    return [MerchantBalance(currency, posted, -pending) for currency, posted, pending in rows]
