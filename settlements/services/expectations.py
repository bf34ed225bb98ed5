"""Collects what statements must report: each posted entry of the ledger on an account of kind channel_receivable.

An account has expectations from the first day on of which a statement was imported. Repeating adds nothing twice.
"""

import datetime as dt

from django.db import connection
from django.db.models import Max, Min

from ledger.chart import LedgerAccountKind
from ledger.models import TransferEvent
from settlements.models import FileState, StatementExpectation, StatementFile
from settlements.parsers.base import StatementIdentity

# Transactions that commit later than this after an entry's time are cut off by their timeouts.
LOOK_BACK = dt.timedelta(days=2)
# A statement of a day certainly exists so long after the end of the day.
DUE_AFTER = dt.timedelta(days=3)
# Posted from statements: no statement reports them again.
OWN_EVENTS = (
    TransferEvent.CHANNEL_FEE,
    TransferEvent.CHANNEL_PAYOUT,
    TransferEvent.STATEMENT_CORRECTED,
    TransferEvent.STATEMENT_VOIDED,
)

# An application fee has two legs: what the connected account pays, and what the platform's own account gets. The
# platform's statement names it by numbers of Stripe that we do not know, so the second leg is not expected. Nor is the
# fee that a refund gives back: the connected account's statement has it under such a number too, as a line of kind fee
# (docs.stripe.com/reports/reporting-categories: "Connect platform fee refunds with reporting_category=fee"). A platform
# fee (by a fee plan) moves nothing at the channel: the capture beside it is expected as a whole.
_COLLECT = """
INSERT INTO statement_expectations (
    entry_id, channel, environment, channel_account_id, currency, kind, amount_minor, reference, channel_no,
    occurred_at, expected_by, state)
SELECT entry.id, account.channel, account.environment, account.channel_account_id, account.currency, named.kind,
       named.amount_minor, named.reference, named.channel_no, named.occurred_at,
       named.occurred_at + make_interval(secs => %(due_after_seconds)s), 'open'
FROM ledger_transfers AS transfer
JOIN ledger_entries AS entry ON entry.transfer_id = transfer.id AND entry.phase = 'posted'
JOIN ledger_accounts AS account ON account.id = entry.account_id
LEFT JOIN payments AS payment ON payment.id = transfer.payment_id
LEFT JOIN payment_attempts AS attempt ON attempt.id = transfer.subject_id
LEFT JOIN refunds AS refund ON refund.id = transfer.subject_id
LEFT JOIN disputes AS dispute ON dispute.id = transfer.subject_id
LEFT JOIN suspense_items AS item ON item.id = transfer.subject_id
LEFT JOIN refunds AS of_item ON of_item.id = item.refund_id
CROSS JOIN LATERAL (
    SELECT CASE entry.direction WHEN 'debit' THEN entry.amount_minor ELSE -entry.amount_minor END AS amount_minor,
           CASE WHEN transfer.event LIKE 'payment.%%' AND entry.direction = 'credit' THEN 'application_fee'
                WHEN transfer.event LIKE 'payment.%%' THEN 'payment'
                WHEN transfer.event IN ('refund.succeeded', 'refund.completed') THEN 'refund'
                WHEN transfer.event IN ('suspense.released', 'suspense.returned') AND item.status = 'returned'
                    THEN 'refund_reversal'
                WHEN transfer.event LIKE 'suspense.%%' THEN 'refund'
                WHEN transfer.event = 'refund.reversed' THEN 'refund_reversal'
                WHEN transfer.event = 'dispute.withdrawn' THEN 'dispute'
                WHEN transfer.event = 'dispute.reinstated' THEN 'dispute_reversal'
                ELSE 'other' END AS kind,
           coalesce(attempt.reference,
               CASE WHEN refund.origin = 'channel' THEN nullif(refund.channel_refund_no, '') END, refund.refund_no,
               dispute.dispute_no, of_item.refund_no, item.channel_refund_no,
               CASE WHEN transfer.event LIKE 'payment.%%' THEN nullif(payment.channel_reference, '') END,
               transfer.source) AS reference,
           coalesce(attempt.channel_trade_no, refund.channel_refund_no, dispute.channel_dispute_no,
               item.channel_refund_no,
               CASE WHEN transfer.event LIKE 'payment.%%' THEN payment.channel_trade_no END, '') AS channel_no,
           CASE WHEN transfer.is_opening THEN coalesce(
               attempt.finished_at, refund.settled_at, dispute.created_at, payment.paid_at, transfer.created_at)
               ELSE transfer.created_at END AS occurred_at
) AS named
WHERE transfer.day >= %(first_day)s
  AND account.kind = %(receivable)s AND account.channel = %(channel)s AND account.environment = %(environment)s
  AND account.channel_account_id IS NOT DISTINCT FROM %(account_id)s
  AND NOT transfer.event = ANY(%(own_events)s)
  AND NOT coalesce(attempt.sandbox, payment.sandbox, false)
  AND named.occurred_at >= %(starts_at)s
  AND NOT (account.channel_account_id IS NULL AND EXISTS (
      SELECT FROM ledger_entries AS fee JOIN ledger_accounts AS of_fee ON of_fee.id = fee.account_id
      WHERE fee.transfer_id = transfer.id AND of_fee.kind = 'application_fees'))
  AND NOT (transfer.event IN ('refund.succeeded', 'refund.completed') AND entry.direction = 'debit')
ON CONFLICT (entry_id) DO NOTHING
"""


def collect_expectations(identity: StatementIdentity, since: dt.datetime) -> int:
    """Collects what happened since the beginning of a statement, and since the last collection. Returns how many are
    new. The caller holds the account's lock (`statement_transaction`)."""
    account = {
        "channel": identity.channel,
        "environment": identity.environment,
        "channel_account_id": identity.channel_account_id,
    }
    valid = StatementFile.objects.filter(**account).exclude(state=FileState.VOIDED)
    starts_at = valid.aggregate(at=Min("period_start"))["at"]
    latest: dt.datetime | None = StatementExpectation.objects.filter(**account).aggregate(
        at=Max("occurred_at")
    )["at"]
    begin = min(since, latest - LOOK_BACK) if latest else starts_at
    with connection.cursor() as cursor:
        cursor.execute(
            _COLLECT,
            {
                "due_after_seconds": DUE_AFTER.total_seconds(),
                "first_day": begin.astimezone(dt.UTC).date(),
                "receivable": LedgerAccountKind.CHANNEL_RECEIVABLE.value,
                "channel": identity.channel,
                "environment": identity.environment,
                "account_id": identity.channel_account_id,
                "own_events": [event.value for event in OWN_EVENTS],
                "starts_at": starts_at,
            },
        )
        return int(cursor.rowcount)
