"""Checks of payouts: against the ledger, against what was payable, and against the exported files."""

# ruff: noqa: S608 - the SQL is put together from constants of this package

from django.utils.translation import gettext_lazy as _

from monitoring.integrity.check import IntegrityCheck

_SIGNED = "CASE e.direction WHEN 'debit' THEN e.amount_minor ELSE -e.amount_minor END"

PAYOUTS_AGREE_WITH_LEDGER = IntegrityCheck(
    "payouts_agree_with_ledger",
    _("The ledger has reserved, sent and taken back for each payout what its status says, to the cent."),
    f"""
    SELECT p.payout_no AS id,
           concat_ws(' ', p.status, 'and in the ledger', l.pending, 'pending,', l.posted, 'posted,', -l.bank,
               'at the bank') AS detail
    FROM payouts p
    CROSS JOIN LATERAL (
        SELECT CASE WHEN p.status = 'pending' THEN p.amount_minor ELSE 0 END AS pending,
               CASE WHEN p.status IN ('in_transit', 'paid') THEN p.amount_minor
                    WHEN p.status IN ('failed', 'returned') THEN p.return_fee_minor ELSE 0 END AS posted) AS o
    CROSS JOIN LATERAL (
        SELECT coalesce(sum({_SIGNED}) FILTER (WHERE a.kind = 'payouts' AND e.phase = 'pending'), 0) AS pending,
               coalesce(sum({_SIGNED}) FILTER (WHERE a.kind = 'payouts' AND e.phase = 'posted'), 0) AS posted,
               coalesce(sum({_SIGNED}) FILTER (WHERE a.kind = 'platform_bank' AND e.phase = 'posted'), 0) AS bank
        FROM ledger_transfers t JOIN ledger_entries e ON e.transfer_id = t.id
        JOIN ledger_accounts a ON a.id = e.account_id
        WHERE t.subject_id = p.id AND a.currency = p.currency AND a.environment = p.environment
          AND coalesce(a.merchant_id, p.merchant_id) = p.merchant_id) AS l
    WHERE p.updated_at >= %(since)s
      AND (l.pending, l.posted, l.bank) IS DISTINCT FROM (o.pending, o.posted, -o.posted)
    UNION ALL
    SELECT t.source, t.event || ' without a payout'
    FROM ledger_transfers t
    WHERE t.created_at >= %(since)s AND t.event LIKE 'payout.%%'
      AND NOT EXISTS (SELECT FROM payouts p WHERE p.id = t.subject_id)
    """,
)

# A refund or a fee may have come since. So only money that came in before, less payouts before, is compared.
PAYOUTS_WITHIN_PAYABLE = IntegrityCheck(
    "payouts_within_payable",
    _(
        "No payout is more than what was payable, or than what the merchant had earned and was not paid before."
    ),
    """
    SELECT p.payout_no AS id, p.amount_minor || ' of ' || least(p.payable_minor, l.earned - o.paid) AS detail
    FROM payouts p
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(CASE e.direction WHEN 'credit' THEN e.amount_minor ELSE -e.amount_minor END), 0) AS earned
        FROM ledger_accounts a
        LEFT JOIN channel_accounts c ON c.id = a.channel_account_id
        JOIN ledger_entries e ON e.account_id = a.id AND e.phase = 'posted'
        JOIN ledger_transfers t ON t.id = e.transfer_id AND t.created_at <= p.created_at
        WHERE a.merchant_id = p.merchant_id AND a.environment = p.environment AND a.currency = p.currency
          AND a.kind = 'merchant_payable' AND c.merchant_id IS NULL) AS l
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(CASE WHEN b.status IN ('failed', 'returned') THEN b.return_fee_minor
                                 ELSE b.amount_minor END), 0) AS paid
        FROM payouts b
        WHERE b.merchant_id = p.merchant_id AND b.environment = p.environment AND b.currency = p.currency
          AND b.created_at < p.created_at AND b.status <> 'canceled') AS o
    WHERE p.created_at >= %(since)s AND p.amount_minor > least(p.payable_minor, l.earned - o.paid)
    """,
)

PAYOUTS_SENT_ONCE = IntegrityCheck(
    "payouts_sent_once",
    _("What was sent is in the file of an approved run, and each exported run has sent all its payouts."),
    """
    SELECT p.payout_no AS id, p.status || ' and its run is ' || r.status
           || CASE WHEN f.run_id IS NULL THEN ' without a file' ELSE ' with a file' END AS detail
    FROM payouts p JOIN payout_runs r ON r.id = p.run_id LEFT JOIN payout_files f ON f.run_id = r.id
    WHERE p.updated_at >= %(since)s
      AND CASE p.status WHEN 'pending' THEN r.status IN ('sent', 'canceled')
                        WHEN 'canceled' THEN false
                        ELSE r.status <> 'sent' OR f.run_id IS NULL END
      AND r.updated_at <= now() - make_interval(secs => %(grace)s)
    """,
)

CHECKS = (PAYOUTS_AGREE_WITH_LEDGER, PAYOUTS_WITHIN_PAYABLE, PAYOUTS_SENT_ONCE)
