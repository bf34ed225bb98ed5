"""Checks of the ledger: by itself, and against payments, refunds and disputes."""

# ruff: noqa: S608 - the SQL is put together from constants of this package

from django.utils.translation import gettext_lazy as _

from monitoring.integrity.check import IntegrityCheck

_SIGNED = "CASE e.direction WHEN 'debit' THEN e.amount_minor ELSE -e.amount_minor END"

LEDGER_BALANCED = IntegrityCheck(
    "ledger_balanced",
    _("Each transfer of the ledger has all its entries, and its debits equal its credits in each currency."),
    f"""
    SELECT t.source AS id,
           t.event || ': ' || coalesce(string_agg(concat_ws(' ', e.legs, e.phase, 'entries differ by', e.difference,
               e.currency), ', '), 'no entries') AS detail
    FROM ledger_transfers t
    LEFT JOIN LATERAL (
        SELECT a.currency, e.phase, count(*) AS legs, sum({_SIGNED}) AS difference
        FROM ledger_entries e LEFT JOIN ledger_accounts a ON a.id = e.account_id
        WHERE e.transfer_id = t.id GROUP BY a.currency, e.phase) AS e ON true
    WHERE t.created_at >= %(since)s
    GROUP BY t.id
    HAVING coalesce(sum(e.legs), 0) <> t.leg_count OR bool_or(e.difference <> 0)
    """,
)

# A void releases what was pending; a post releases it and posts it.
LEDGER_PENDING_SETTLED = IntegrityCheck(
    "ledger_pending_settled",
    _(
        "A pending transfer of the ledger is released by its post or void, and is open exactly while its refund is."
    ),
    f"""
    SELECT p.source AS id, s.event || ' releases another amount' AS detail
    FROM ledger_transfers p JOIN ledger_transfers s ON s.pending_id = p.id
    WHERE s.created_at >= %(since)s AND EXISTS (
        SELECT FROM ledger_entries e WHERE e.transfer_id IN (p.id, s.id) AND e.phase = 'pending'
        GROUP BY e.account_id HAVING sum({_SIGNED}) <> 0)
    UNION ALL
    SELECT r.refund_no, concat_ws(' ', 'refund', r.status, 'and the pending transfer is',
           CASE WHEN p.id IS NULL THEN 'missing' WHEN s.id IS NULL THEN 'open' ELSE s.kind || 'ed' END)
    FROM refunds r
    LEFT JOIN ledger_transfers p ON p.subject_id = r.id AND p.kind = 'pending'
    LEFT JOIN ledger_transfers s ON s.pending_id = p.id
    WHERE r.created_at >= %(since)s
      AND (r.status IN ('pending', 'processing')) <> (p.id IS NOT NULL AND s.id IS NULL)
    """,
)

_PAYMENTS_TOUCHED = """
    SELECT id FROM payments WHERE created_at >= %(since)s
    UNION
    SELECT payment_id FROM refunds WHERE created_at >= %(since)s
    UNION
    SELECT payment_id FROM ledger_transfers WHERE created_at >= %(since)s
"""

# The ledger's sums of a payment and its duplicate payments, in the payment's currency. A dispute may have another one.
LEDGER_AGREES_WITH_PAYMENTS = IntegrityCheck(
    "ledger_agrees_with_payments",
    _("The ledger has captured, refunded and reserved for refunds what the payment and its attempts show."),
    f"""
    SELECT p.payment_no AS id,
           concat_ws(', ',
               CASE WHEN l.captured <> o.captured
                   THEN 'captured ' || o.captured || ', in the ledger ' || l.captured END,
               CASE WHEN l.refunded <> o.refunded
                   THEN 'refunded ' || o.refunded || ', in the ledger ' || l.refunded END,
               CASE WHEN l.reserved <> o.reserved
                   THEN 'refund pending ' || o.reserved || ', in the ledger ' || l.reserved END,
               CASE WHEN l.received <> o.captured - o.refunded
                   THEN 'at the channel ' || (o.captured - o.refunded) || ', in the ledger ' || l.received END,
               CASE WHEN l.other > 0 THEN l.other || ' entries of another merchant, environment or currency' END
           ) AS detail
    FROM ({_PAYMENTS_TOUCHED}) AS touched JOIN payments p ON p.id = touched.id
    CROSS JOIN LATERAL (
        SELECT p.captured_minor + coalesce(sum(duplicate_minor), 0) AS captured,
               p.refunded_minor + coalesce(sum(duplicate_refunded_minor), 0) AS refunded,
               p.refund_pending_minor + coalesce(sum(duplicate_pending_minor), 0) AS reserved
        FROM payment_attempts WHERE payment_id = p.id) AS o
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(-signed) FILTER (WHERE kind = 'merchant_payable' AND phase = 'posted'), 0) AS captured,
               coalesce(sum(signed) FILTER (WHERE kind = 'refunds' AND phase = 'posted'), 0) AS refunded,
               coalesce(sum(signed) FILTER (WHERE kind = 'refunds' AND phase = 'pending'), 0) AS reserved,
               coalesce(sum(signed) FILTER (WHERE kind = 'channel_receivable' AND phase = 'posted'), 0) AS received,
               count(*) FILTER (WHERE NOT is_own) AS other
        FROM (
            SELECT a.kind, e.phase, {_SIGNED} AS signed,
                   a.currency = p.currency AND a.environment = p.environment
                   AND coalesce(a.merchant_id, p.merchant_id) = p.merchant_id AS is_own
            FROM ledger_transfers t JOIN ledger_entries e ON e.transfer_id = t.id
            JOIN ledger_accounts a ON a.id = e.account_id
            WHERE t.payment_id = p.id AND t.event NOT LIKE 'dispute.%%' AND t.event NOT LIKE 'suspense.%%'
              AND t.event NOT IN ('channel.fee', 'statement.voided')) AS e) AS l
    WHERE (l.captured, l.refunded, l.reserved, l.received)
          IS DISTINCT FROM (o.captured, o.refunded, o.reserved, o.captured - o.refunded)
       OR l.other > 0
    """,
)

LEDGER_AGREES_WITH_DISPUTES = IntegrityCheck(
    "ledger_agrees_with_disputes",
    _("The ledger has withdrawn for each dispute what the bank has taken, in the dispute's currency."),
    f"""
    SELECT d.dispute_no AS id,
           'withdrawn ' || o.withdrawn || ' ' || upper(d.currency) || ', in the ledger ' || l.withdrawn
           || CASE WHEN l.suspense <> d.suspense_minor
                   THEN ', in suspense ' || d.suspense_minor || ', in the ledger ' || l.suspense ELSE '' END
           || CASE WHEN l.received <> -l.withdrawn THEN ', at the channel ' || l.received ELSE '' END AS detail
    FROM disputes d
    CROSS JOIN LATERAL (
        SELECT CASE WHEN d.status = 'lost' OR (d.status NOT IN ('won', 'closed') AND d.stage <> 'inquiry')
               THEN d.amount_minor ELSE 0 END AS withdrawn) AS o
    CROSS JOIN LATERAL (
        SELECT coalesce(sum({_SIGNED}) FILTER (
                   WHERE a.kind IN ('disputes', 'suspense') AND a.currency = upper(d.currency)), 0) AS withdrawn,
               coalesce(sum({_SIGNED}) FILTER (WHERE a.kind = 'suspense'), 0) AS suspense,
               coalesce(sum({_SIGNED}) FILTER (WHERE a.kind = 'channel_receivable'), 0) AS received
        FROM ledger_transfers t JOIN ledger_entries e ON e.transfer_id = t.id
        JOIN ledger_accounts a ON a.id = e.account_id
        WHERE t.subject_id = d.id AND e.phase = 'posted') AS l
    WHERE d.updated_at >= %(since)s
      AND (l.withdrawn <> o.withdrawn OR l.received <> -l.withdrawn OR l.suspense <> d.suspense_minor)
    """,
)

LEDGER_AGREES_WITH_SUSPENSE = IntegrityCheck(
    "ledger_agrees_with_suspense",
    _("The ledger holds each open suspense item, and nothing of a released one."),
    f"""
    SELECT i.channel_refund_no AS id,
           i.status || ', ' || i.amount_minor || ' ' || i.currency || ', in suspense ' || l.suspense
           || ', at the channel ' || l.received AS detail
    FROM suspense_items i
    CROSS JOIN LATERAL (
        SELECT coalesce(sum({_SIGNED}) FILTER (WHERE a.kind = 'suspense'), 0) AS suspense,
               coalesce(sum({_SIGNED}) FILTER (WHERE a.kind = 'channel_receivable'), 0) AS received
        FROM ledger_transfers t JOIN ledger_entries e ON e.transfer_id = t.id
        JOIN ledger_accounts a ON a.id = e.account_id AND a.currency = i.currency
        WHERE t.subject_id = i.id) AS l
    WHERE (i.opened_at >= %(since)s OR i.released_at >= %(since)s)
      AND (l.suspense <> CASE i.status WHEN 'open' THEN i.amount_minor ELSE 0 END
           OR l.received <> CASE WHEN i.status IN ('open', 'charged') THEN -i.amount_minor ELSE 0 END)
    """,
)

# What is in the queue is in no daily balance yet.
LEDGER_BALANCES_ADD_UP = IntegrityCheck(
    "ledger_balances_add_up",
    _("The daily balances of the ledger are the sums of the entries that were added up."),
    """
    WITH sums AS (
        SELECT e.account_id, t.day, count(*) AS entries,
               coalesce(sum(e.amount_minor) FILTER (WHERE e.phase = 'posted' AND e.direction = 'debit'), 0) AS debit,
               coalesce(sum(e.amount_minor) FILTER (WHERE e.phase = 'posted' AND e.direction = 'credit'), 0) AS credit,
               coalesce(sum(e.amount_minor) FILTER (WHERE e.phase = 'pending' AND e.direction = 'debit'), 0)
                   AS pending_debit,
               coalesce(sum(e.amount_minor) FILTER (WHERE e.phase = 'pending' AND e.direction = 'credit'), 0)
                   AS pending_credit
        FROM ledger_transfers t JOIN ledger_entries e ON e.transfer_id = t.id
        WHERE t.day >= (%(since)s::timestamptz AT TIME ZONE 'UTC')::date
          AND NOT EXISTS (SELECT FROM ledger_rollup_queue q WHERE q.transfer_id = t.id)
        GROUP BY e.account_id, t.day
    )
    SELECT coalesce(s.account_id, b.account_id)::text AS id,
           coalesce(s.day, b.day) || ': ' || coalesce(s.entries, 0) || ' entries, in the daily balance '
           || coalesce(b.entry_count, 0) AS detail
    FROM sums s FULL JOIN (
        SELECT * FROM ledger_daily_balances WHERE day >= (%(since)s::timestamptz AT TIME ZONE 'UTC')::date
    ) b ON b.account_id = s.account_id AND b.day = s.day
    WHERE (s.entries, s.debit, s.credit, s.pending_debit, s.pending_credit) IS DISTINCT FROM
          (b.entry_count, b.posted_debit_minor, b.posted_credit_minor, b.pending_debit_minor, b.pending_credit_minor)
    """,
)

CHECKS = (
    LEDGER_BALANCED,
    LEDGER_PENDING_SETTLED,
    LEDGER_AGREES_WITH_PAYMENTS,
    LEDGER_AGREES_WITH_DISPUTES,
    LEDGER_AGREES_WITH_SUSPENSE,
    LEDGER_BALANCES_ADD_UP,
)
