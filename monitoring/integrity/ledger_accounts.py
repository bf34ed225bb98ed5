"""Checks of where the ledger posts: the accounts of each event, its day, and what decided cases have moved."""

# ruff: noqa: S608 - the SQL is put together from constants of this package

from collections.abc import Iterator, Mapping

from django.utils.translation import gettext_lazy as _

from monitoring.integrity.check import IntegrityCheck

# A refund's legs, and those of the fees that it gives back.
_REFUND = (
    "refunds debit, channel_receivable credit, application_fees credit, channel_receivable debit, fee_income debit,"
    " platform_fees credit"
)
_DISPUTE = "disputes debit, disputes credit, suspense debit, suspense credit"
_STATEMENT = "{0} debit, {0} credit, channel_receivable debit, channel_receivable credit"
# Which accounts an event may debit and credit (docs/LEDGER.md). The amounts are compared by other checks.
POSTED: Mapping[str, str] = {
    "payment.captured": "channel_receivable debit, merchant_payable credit, application_fees debit,"
    " channel_receivable credit, fee_income credit, platform_fees debit",
    "payment.late": "channel_receivable debit, merchant_payable credit, application_fees debit,"
    " channel_receivable credit, fee_income credit",
    "payment.duplicate": "channel_receivable debit, merchant_payable credit, application_fees debit,"
    " channel_receivable credit, fee_income credit",
    "refund.requested": "",
    "refund.succeeded": _REFUND,
    "refund.completed": _REFUND,
    "refund.failed": "",
    "refund.reversed": "refunds credit, channel_receivable debit, application_fees debit, channel_receivable credit,"
    " fee_income credit, platform_fees debit",
    "dispute.withdrawn": f"{_DISPUTE}, channel_receivable credit",
    "dispute.reinstated": f"{_DISPUTE}, channel_receivable debit",
    "dispute.rebooked": _DISPUTE,
    "suspense.added": "suspense debit, channel_receivable credit",
    "suspense.released": "channel_receivable debit, suspense credit",
    "suspense.charged": "refunds debit, suspense credit",
    "suspense.returned": "channel_receivable debit, refunds credit",
    "channel.fee": _STATEMENT.format("channel_fees"),
    "channel.payout": _STATEMENT.format("platform_bank"),
    "statement.corrected": f"{_STATEMENT.format('suspense')}, rounding debit, rounding credit, write_offs debit,"
    " write_offs credit",
    "statement.voided": ", ".join(
        _STATEMENT.format(kind)
        for kind in ("channel_fees", "platform_bank", "suspense", "rounding", "write_offs")
    ),
    "payout.requested": "",
    "payout.posted": "payouts debit, platform_bank credit",
    "payout.canceled": "",
    "payout.returned": "platform_bank debit, payouts credit",
}
PENDING: Mapping[str, str] = {
    "refund.requested": "refunds debit, channel_receivable credit",
    "refund.succeeded": "refunds credit, channel_receivable debit",
    "refund.failed": "refunds credit, channel_receivable debit",
    "payout.requested": "payouts debit, platform_bank credit",
    "payout.posted": "payouts credit, platform_bank debit",
    "payout.canceled": "payouts credit, platform_bank debit",
}
_PLATFORM_KINDS = (
    "channel_receivable",
    "fee_income",
    "suspense",
    "channel_fees",
    "platform_bank",
    "rounding",
    "write_offs",
)
_OF_PLATFORM = ", ".join(f"'{kind}'" for kind in _PLATFORM_KINDS)


def _list_rules() -> Iterator[str]:
    for phase, events in (("posted", POSTED), ("pending", PENDING)):
        for event, legs in events.items():
            for leg in filter(None, legs.split(", ")):
                kind, direction = leg.split(" ")
                yield f"('{phase}', '{event}', '{kind}', '{direction}')"


# The object that an event is about, and where its money is. A new event without rules is a violation.
LEDGER_ACCOUNTS_AGREE = IntegrityCheck(
    "ledger_accounts_agree",
    _(
        "Each transfer of the ledger debits and credits the accounts of its event, where its money is and in its"
        " currency, for the merchant whose money it is."
    ),
    f"""
    WITH rules(phase, event, kind, direction) AS (VALUES {", ".join(_list_rules())})
    SELECT t.source AS id,
           concat_ws(' ', t.event || ':', e.direction, a.kind, nullif(a.channel, ''), a.currency) AS detail
    FROM ledger_transfers t
    JOIN ledger_entries e ON e.transfer_id = t.id JOIN ledger_accounts a ON a.id = e.account_id
    LEFT JOIN payments p ON p.id = t.payment_id
    LEFT JOIN refunds r ON r.id = t.subject_id
    LEFT JOIN disputes d ON d.id = t.subject_id
    LEFT JOIN suspense_items i ON i.id = t.subject_id
    LEFT JOIN payment_attempts s ON s.id IN (t.subject_id, r.duplicate_attempt_id, d.attempt_id)
    LEFT JOIN statement_lines l ON l.id = t.subject_id
    LEFT JOIN statement_files f ON f.id = l.file_id
    LEFT JOIN settlement_cases c ON c.id = t.subject_id
    LEFT JOIN payouts o ON o.id = t.subject_id
    CROSS JOIN LATERAL (
        SELECT coalesce(i.channel, s.channel, f.channel, c.channel, p.channel, 'bank') AS channel,
               CASE WHEN i.id IS NOT NULL THEN i.channel_account_id WHEN s.id IS NOT NULL THEN s.channel_account_id
                    WHEN f.id IS NOT NULL THEN f.channel_account_id WHEN c.id IS NOT NULL THEN c.channel_account_id
                    ELSE p.channel_account_id END AS channel_account_id,
               coalesce(i.currency, upper(d.currency), l.currency, o.currency, p.currency, t.currency) AS currency,
               CASE WHEN l.id IS NULL AND c.id IS NULL THEN coalesce(p.merchant_id, o.merchant_id) END AS merchant_id
    ) AS own
    WHERE t.created_at >= %(since)s AND (
        NOT EXISTS (
            SELECT FROM rules
            WHERE rules.phase = e.phase AND rules.event = t.event AND rules.kind = a.kind
              AND rules.direction = e.direction)
        OR t.merchant_id IS DISTINCT FROM own.merchant_id
        OR a.merchant_id IS DISTINCT FROM CASE WHEN a.kind IN ({_OF_PLATFORM}) THEN NULL ELSE own.merchant_id END
        OR a.currency <> own.currency OR t.currency <> own.currency
        OR a.channel <> CASE WHEN a.kind = 'platform_bank' THEN '' ELSE own.channel END
        OR a.channel_account_id IS DISTINCT FROM CASE WHEN a.kind <> 'platform_bank' THEN own.channel_account_id END
           AND NOT (a.channel_account_id IS NULL AND a.kind IN ('channel_receivable', 'fee_income') AND EXISTS (
               SELECT FROM ledger_entries fee JOIN ledger_accounts of_fee ON of_fee.id = fee.account_id
               WHERE fee.transfer_id = t.id AND of_fee.kind = 'application_fees')))
    """,
)

# A transaction that began before midnight may commit after it.
LEDGER_DAYS_AGREE = IntegrityCheck(
    "ledger_days_agree",
    _("Each transfer of the ledger counts to the day in UTC on which it was posted."),
    """
    SELECT t.source AS id, t.event || ' of ' || t.day || ', posted at ' || t.created_at AS detail
    FROM ledger_transfers t
    WHERE t.created_at >= %(since)s
      AND t.day NOT BETWEEN ((t.created_at - interval '1 hour') AT TIME ZONE 'UTC')::date
          AND (t.created_at AT TIME ZONE 'UTC')::date
    """,
)

CASES_AGREE_WITH_LEDGER = IntegrityCheck(
    "cases_agree_with_ledger",
    _("The ledger was corrected by what each booked or written-off case reports more or less than expected."),
    """
    SELECT c.kind || ' ' || c.reference AS id,
           'to correct ' || sum(m.due) || ' ' || m.currency || ', in the ledger ' || sum(m.moved) AS detail
    FROM settlement_cases c
    CROSS JOIN LATERAL (
        SELECT c.resolution IN ('booked', 'written_off') AND c.reversed_at IS NULL AS is_booked) AS o
    CROSS JOIN LATERAL (
        SELECT l.currency, CASE WHEN is_booked THEN l.gross_minor ELSE 0 END AS due, 0 AS moved
        FROM statement_lines l WHERE l.case_id = c.id AND l.kind NOT IN ('fee', 'payout', 'rounding')
        UNION ALL
        SELECT e.currency, CASE WHEN is_booked THEN -e.amount_minor ELSE 0 END, 0
        FROM statement_expectations e WHERE e.case_id = c.id
        UNION ALL
        SELECT a.currency, 0, CASE n.direction WHEN 'debit' THEN n.amount_minor ELSE -n.amount_minor END
        FROM ledger_transfers t JOIN ledger_entries n ON n.transfer_id = t.id
        JOIN ledger_accounts a ON a.id = n.account_id AND a.kind = 'channel_receivable'
        WHERE t.subject_id = c.id
    ) AS m
    WHERE c.opened_at >= %(since)s OR c.resolved_at >= %(since)s
    GROUP BY c.id, m.currency HAVING sum(m.due) <> sum(m.moved)
    """,
)

CHECKS = (LEDGER_ACCOUNTS_AGREE, LEDGER_DAYS_AGREE, CASES_AGREE_WITH_LEDGER)
