"""Splits a merchant's balance: what is payable now, and what a hold, a reserve or an open refund keeps back.

The cost grows with the days of the ledger and with its queue, not with the number of payments (ADR 41).
"""

import datetime as dt
import uuid
from dataclasses import dataclass
from typing import Any

from django.db import connection

from common.clock import database_now
from ledger.chart import FEE_KINDS, MERCHANT_KINDS
from ledger.chart import LedgerAccountKind as Kind
from payouts.hold import find_last_payable_day, find_last_unreserved_day
from payouts.models import PayoutPlan
from payouts.models.plans import BASIS_POINTS_PER_WHOLE

# The fee of a payment becomes payable with the payment. Refunds, disputes and payouts count at once.
_HELD_KINDS = (Kind.MERCHANT_PAYABLE, *FEE_KINDS)

# Money at the merchant's own channel accounts is not the platform's to pay: only accounts of the platform count.
_MOVEMENTS = """
WITH held_accounts AS (
    SELECT account.id, account.kind, account.currency
    FROM ledger_accounts AS account
    LEFT JOIN channel_accounts AS holding ON holding.id = account.channel_account_id
    WHERE account.merchant_id = %(merchant_id)s AND account.environment = %(environment)s
      AND account.kind = ANY(%(kinds)s) AND holding.merchant_id IS NULL
), movements AS (
    SELECT account.currency, account.kind, balance.day,
           balance.posted_credit_minor - balance.posted_debit_minor AS posted,
           balance.pending_credit_minor - balance.pending_debit_minor AS pending
    FROM held_accounts AS account JOIN ledger_daily_balances AS balance ON balance.account_id = account.id
    UNION ALL
    SELECT account.currency, account.kind, transfer.day,
           CASE WHEN entry.phase = 'posted' THEN signed.amount ELSE 0 END,
           CASE WHEN entry.phase = 'pending' THEN signed.amount ELSE 0 END
    FROM ledger_rollup_queue AS queued
    JOIN ledger_transfers AS transfer ON transfer.id = queued.transfer_id
    JOIN ledger_entries AS entry ON entry.transfer_id = transfer.id
    JOIN held_accounts AS account ON account.id = entry.account_id
    CROSS JOIN LATERAL (
        SELECT CASE entry.direction WHEN 'credit' THEN entry.amount_minor ELSE -entry.amount_minor END AS amount
    ) AS signed
    WHERE transfer.merchant_id = %(merchant_id)s AND transfer.environment = %(environment)s
)
SELECT currency, sum(posted)::bigint, -sum(pending)::bigint,
       greatest(coalesce(
           sum(posted) FILTER (WHERE kind = ANY(%(held_kinds)s) AND day > %(last_payable)s), 0), 0)::bigint,
       coalesce(sum(posted) FILTER (
           WHERE kind = 'merchant_payable'
             AND day <= %(last_payable)s AND day > %(last_unreserved)s), 0)::bigint
FROM movements GROUP BY currency ORDER BY currency
"""


@dataclass(frozen=True, slots=True)
class PayableBalance:
    """In minor units. `total_minor` is what the platform holds for the merchant, and is negative when the merchant owes
    it. `open_minor` is on its way: refunds and payouts in progress."""

    currency: str
    total_minor: int
    open_minor: int
    on_hold_minor: int
    reserve_minor: int

    @property
    def payable_minor(self) -> int:
        """Negative when the merchant owes the platform: the next payments make up for it."""
        return self.total_minor - self.open_minor - self.on_hold_minor - self.reserve_minor


def read_payable_balances(
    *, plan: PayoutPlan, merchant_id: uuid.UUID, environment: str, now: dt.datetime | None = None
) -> list[PayableBalance]:
    """One for each currency in which the merchant has had money."""
    now = now or database_now()
    parameters: dict[str, Any] = {
        "merchant_id": merchant_id,
        "environment": environment,
        "kinds": [kind.value for kind in MERCHANT_KINDS],
        "held_kinds": [kind.value for kind in _HELD_KINDS],
        "last_payable": find_last_payable_day(plan, now),
        "last_unreserved": find_last_unreserved_day(plan, now),
    }
    with connection.cursor() as cursor:
        cursor.execute(_MOVEMENTS, parameters)
        rows = cursor.fetchall()
    return [
        PayableBalance(currency, total, open_minor, on_hold, _compute_reserve(plan, captured))
        for currency, total, open_minor, on_hold, captured in rows
    ]


def _compute_reserve(plan: PayoutPlan, captured_minor: int) -> int:
    """Rounded up: the platform keeps the fraction of a minor unit."""
    return -(-max(captured_minor, 0) * plan.reserve_basis_points // BASIS_POINTS_PER_WHOLE)
