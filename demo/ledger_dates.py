"""Moves the ledger transfers of one payment into the past, with all that depends on their days.

A transfer that a daily balance already contains is taken out of it and put back into the queue, so that the next rollup
adds it to the right day. The closes of its currency are deleted: a chain of closes begins with the first day. Demo data
only: the ledger is append-only.
"""

import datetime as dt
from typing import Any

_OF_PAYMENT = "payment_id = (SELECT id FROM payments WHERE payment_no = %(no)s)"

# No rollup runs while its transaction moves transfers between days.
_LOCK_QUEUE = "LOCK TABLE ledger_rollup_queue IN SHARE ROW EXCLUSIVE MODE"
_TAKE_OUT_OF_BALANCES = f"""
WITH queued AS (
    INSERT INTO ledger_rollup_queue (transfer_id) SELECT id FROM ledger_transfers WHERE {_OF_PAYMENT}
    ON CONFLICT DO NOTHING RETURNING transfer_id
), contained AS (
    SELECT entry.account_id, transfer.day,
        coalesce(sum(amount_minor) FILTER (WHERE phase = 'posted' AND direction = 'debit'), 0) AS posted_debit,
        coalesce(sum(amount_minor) FILTER (WHERE phase = 'posted' AND direction = 'credit'), 0) AS posted_credit,
        coalesce(sum(amount_minor) FILTER (WHERE phase = 'pending' AND direction = 'debit'), 0) AS pending_debit,
        coalesce(sum(amount_minor) FILTER (WHERE phase = 'pending' AND direction = 'credit'), 0) AS pending_credit,
        count(*) AS entries
    FROM queued JOIN ledger_transfers AS transfer ON transfer.id = queued.transfer_id
    JOIN ledger_entries AS entry ON entry.transfer_id = transfer.id
    GROUP BY entry.account_id, transfer.day
)
UPDATE ledger_daily_balances AS balance
SET posted_debit_minor = balance.posted_debit_minor - contained.posted_debit,
    posted_credit_minor = balance.posted_credit_minor - contained.posted_credit,
    pending_debit_minor = balance.pending_debit_minor - contained.pending_debit,
    pending_credit_minor = balance.pending_credit_minor - contained.pending_credit,
    entry_count = balance.entry_count - contained.entries
FROM contained WHERE balance.account_id = contained.account_id AND balance.day = contained.day
"""  # noqa: S608 - of constants
_DELETE_EMPTY_BALANCES = "DELETE FROM ledger_daily_balances WHERE entry_count = 0"
_MOVE_TRANSFERS = f"""
UPDATE ledger_transfers
SET created_at = created_at - %(by)s::text::interval,
    day = ((created_at - %(by)s::text::interval) AT TIME ZONE 'UTC')::date
WHERE {_OF_PAYMENT}
"""  # noqa: S608
# An account is opened by its first transfer.
_MOVE_ACCOUNTS = f"""
UPDATE ledger_accounts AS account SET created_at = moved.created_at
FROM (
    SELECT entry.account_id, min(transfer.created_at) AS created_at
    FROM ledger_transfers AS transfer JOIN ledger_entries AS entry ON entry.transfer_id = transfer.id
    WHERE transfer.{_OF_PAYMENT} GROUP BY entry.account_id
) AS moved
WHERE account.id = moved.account_id AND account.created_at > moved.created_at
"""  # noqa: S608
_DELETE_CLOSES = f"""
DELETE FROM daily_closes WHERE (environment, currency) IN (
    SELECT environment, currency FROM ledger_transfers WHERE {_OF_PAYMENT})
"""  # noqa: S608


def move_into_past(cursor: Any, *, payment_no: str, by: dt.timedelta) -> None:
    """Runs in the transaction that moves the payment, in which no trigger fires."""
    cursor.execute(_LOCK_QUEUE)
    for statement in (_TAKE_OUT_OF_BALANCES, _MOVE_TRANSFERS, _MOVE_ACCOUNTS, _DELETE_CLOSES):
        cursor.execute(statement, {"no": payment_no, "by": str(by)})
    cursor.execute(_DELETE_EMPTY_BALANCES)
