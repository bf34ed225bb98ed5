"""Checks of the platform's fees against their plans, and of merchants' statements against the ledger (docs/FEES.md)."""

# ruff: noqa: S608 - the SQL is put together from constants of this package

from django.utils.translation import gettext_lazy as _

from monitoring.integrity.check import IntegrityCheck

_SIGNED = "CASE e.direction WHEN 'debit' THEN e.amount_minor ELSE -e.amount_minor END"
_MERCHANT_KINDS = "'merchant_payable', 'refunds', 'disputes', 'application_fees', 'platform_fees', 'payouts'"
_FEE_KINDS = "'application_fees', 'platform_fees'"

# The fee of all that was captured so far, by the rate and the volume of the basis `b`: the formula a second time.
_FORMULA = """
    SELECT least(t.sequence, maximum, greatest(minimum, floor(part.millionths / 1000000 + 0.5) + fixed)) AS fee
    FROM (
        SELECT (b.rate->>'fixed_minor')::numeric AS fixed, (b.rate->>'minimum_minor')::numeric AS minimum,
               (b.rate->>'maximum_minor')::numeric AS maximum
    ) AS amounts
    CROSS JOIN LATERAL (
        SELECT sum(greatest(0, least(b.volume + t.sequence, tier.ends) - greatest(b.volume, tier.begins))
                   * tier.millionths) AS millionths
        FROM (
            SELECT (each.value->>'from_minor')::numeric AS begins,
                   (each.value->>'rate_millionths')::numeric AS millionths,
                   coalesce(lead((each.value->>'from_minor')::numeric) OVER (ORDER BY each.ordinality), 'infinity')
                       AS ends
            FROM jsonb_array_elements(b.rate->'tiers') WITH ORDINALITY AS each(value, ordinality)
        ) AS tier
    ) AS part
"""

# The sequence of a capture is the total captured so far.
FEES_AGREE_WITH_PLANS = IntegrityCheck(
    "fees_agree_with_plans",
    _(
        "Each capture of a merchant with a fee plan was charged the fee that the version of its plan says; no other was"
        " charged one."
    ),
    f"""
    SELECT source AS id, concat_ws(', ',
               CASE WHEN is_unknown THEN 'the rate is not that of the plan''s version' END,
               CASE WHEN captured IS DISTINCT FROM sequence THEN 'computed from ' || captured || ', captured '
                   || sequence END,
               CASE WHEN stored IS DISTINCT FROM expected THEN 'fee ' || stored || ', by the plan ' || expected END,
               CASE WHEN posted <> stored - before THEN 'charged ' || posted || ', to be charged ' || (stored - before)
                   END) AS detail
    FROM (
        SELECT t.source, t.sequence, b.captured, b.stored, p.posted,
               coalesce(lag(b.stored) OVER (PARTITION BY t.subject_id ORDER BY t.sequence), 0) AS before,
               CASE WHEN jsonb_typeof(b.rate) = 'object' THEN f.fee ELSE 0 END AS expected,
               v.id IS NULL OR b.rule IS DISTINCT FROM v.terms->>'refund_rule'
                   OR (jsonb_typeof(b.rate) = 'object' AND b.rate IS DISTINCT FROM v.terms->'rates'->b.number)
                   AS is_unknown
        FROM ledger_transfers t
        CROSS JOIN LATERAL (
            SELECT t.fee_basis->'rate' AS rate, t.fee_basis->>'refund_rule' AS rule,
                   (t.fee_basis->>'rate_number')::int AS number, t.fee_basis->>'plan_version' AS version,
                   (t.fee_basis->>'volume_before_minor')::numeric AS volume,
                   (t.fee_basis->>'captured_minor')::numeric AS captured, (t.fee_basis->>'fee_minor')::numeric AS stored
        ) AS b
        LEFT JOIN fee_plan_versions v ON v.id::text = b.version
        CROSS JOIN LATERAL (
            SELECT coalesce(sum({_SIGNED}), 0) AS posted
            FROM ledger_entries e JOIN ledger_accounts a ON a.id = e.account_id
            WHERE e.transfer_id = t.id AND a.kind = 'platform_fees' AND e.phase = 'posted') AS p
        LEFT JOIN LATERAL ({_FORMULA}) AS f ON jsonb_typeof(b.rate) = 'object'
        WHERE t.fee_basis IS NOT NULL AND t.subject_id IN (
            SELECT subject_id FROM ledger_transfers WHERE created_at >= %(since)s AND fee_basis IS NOT NULL)
    ) AS captures
    WHERE is_unknown OR captured IS DISTINCT FROM sequence OR stored IS DISTINCT FROM expected
       OR posted <> stored - before
    UNION ALL
    SELECT t.source, 'a platform fee without a basis' FROM ledger_transfers t
    WHERE t.created_at >= %(since)s AND t.fee_basis IS NULL AND t.event LIKE 'payment.%%' AND EXISTS (
        SELECT FROM ledger_entries e JOIN ledger_accounts a ON a.id = e.account_id
        WHERE e.transfer_id = t.id AND a.kind = 'platform_fees')
    UNION ALL
    -- A plan that began within a minute may not have been committed when the capture read it.
    SELECT t.source, 'no fee was computed by the plan of the merchant' FROM ledger_transfers t
    JOIN payments p ON p.id = t.subject_id AND p.captured_minor = t.sequence
    LEFT JOIN channel_accounts holding ON holding.id = p.channel_account_id
    CROSS JOIN LATERAL (
        SELECT a.plan_id FROM fee_plan_assignments a
        WHERE a.merchant_id = t.merchant_id AND a.valid_from < t.created_at
        ORDER BY a.valid_from DESC LIMIT 1) AS assigned
    WHERE t.created_at >= %(since)s AND t.event = 'payment.captured' AND t.fee_basis IS NULL AND NOT t.is_opening
      AND assigned.plan_id IS NOT NULL AND holding.merchant_id IS NULL
      AND NOT EXISTS (SELECT FROM ledger_transfers AS other WHERE other.subject_id = t.subject_id AND other.id <> t.id)
      AND NOT EXISTS (
          SELECT FROM fee_plan_assignments a WHERE a.merchant_id = t.merchant_id
            AND greatest(a.valid_from, a.created_at) BETWEEN t.created_at - interval '1 minute' AND t.created_at)
      AND EXISTS (
          SELECT FROM fee_plan_versions v WHERE v.plan_id = assigned.plan_id
            AND greatest(v.valid_from, v.created_at) < t.created_at - interval '1 minute')
    """,
)

# With one capture and no refund that failed later, what was given back is exactly the share of the refunded amount.
# Otherwise each refund was rounded by another total, and only the bounds are exact.
FEES_RETURNED_BY_RULE = IntegrityCheck(
    "fees_returned_by_rule",
    _("Refunds gave back of the platform's fee what the refund rule says, and never more than was charged."),
    f"""
    SELECT p.payment_no AS id, 'gave back ' || s.returned || ' of the fee ' || s.charged
           || coalesce(', by the rule ' || w.share, ', without a fee plan') AS detail
    FROM (
        SELECT DISTINCT payment_id FROM ledger_transfers
        WHERE created_at >= %(since)s AND payment_id IS NOT NULL AND (fee_basis IS NOT NULL OR event LIKE 'refund.%%')
    ) AS touched
    JOIN payments p ON p.id = touched.payment_id
    CROSS JOIN LATERAL (
        SELECT coalesce(sum({_SIGNED}) FILTER (WHERE t.event LIKE 'payment.%%'), 0) AS charged,
               coalesce(sum(-({_SIGNED})) FILTER (WHERE t.event NOT LIKE 'payment.%%'), 0) AS returned
        FROM ledger_transfers t JOIN ledger_entries e ON e.transfer_id = t.id
        JOIN ledger_accounts a ON a.id = e.account_id
        WHERE t.payment_id = p.id AND a.kind = 'platform_fees' AND e.phase = 'posted') AS s
    LEFT JOIN LATERAL (
        SELECT fee_basis FROM ledger_transfers t
        WHERE t.subject_id = p.id AND t.event = 'payment.captured' ORDER BY t.sequence LIMIT 1
    ) AS b ON b.fee_basis IS NOT NULL
    LEFT JOIN LATERAL (
        SELECT CASE b.fee_basis->>'refund_rule' WHEN 'keep' THEN 0 WHEN 'proportional' THEN s.charged
            ELSE s.charged - least(s.charged, coalesce((b.fee_basis->'rate'->>'fixed_minor')::bigint, 0)) END AS most
    ) AS m ON b.fee_basis IS NOT NULL
    LEFT JOIN LATERAL (
        SELECT floor(m.most * p.refunded_minor / p.captured_minor::numeric + 0.5) AS share
    ) AS w ON m.most IS NOT NULL AND p.captured_minor > 0
    WHERE s.returned < 0 OR s.returned > coalesce(m.most, 0)
       OR (p.refunded_minor = p.captured_minor AND s.returned <> coalesce(m.most, 0))
       OR (s.returned <> w.share
           AND 1 = (SELECT count(*) FROM ledger_transfers t WHERE t.subject_id = p.id AND t.event = 'payment.captured')
           AND NOT EXISTS (SELECT FROM ledger_transfers t WHERE t.payment_id = p.id AND t.event = 'refund.reversed'))
    """,
)

MERCHANT_STATEMENTS_ADD_UP = IntegrityCheck(
    "merchant_statements_add_up",
    _(
        "Each merchant's statement begins where the one before ended, agrees with the ledger, and belongs to the daily"
        " close."
    ),
    f"""
    SELECT s.id::text AS id, concat_ws(', ',
               CASE WHEN s.opening_minor <> o.closing THEN 'opens with ' || s.opening_minor || ', the one before closed'
                   || ' with ' || o.closing END,
               CASE WHEN s.closing_minor <> l.closing THEN 'closes with ' || s.closing_minor || ', in the ledger '
                   || l.closing END,
               CASE WHEN s.fees_minor <> l.fees THEN 'fees ' || s.fees_minor || ', in the ledger ' || l.fees END,
               CASE WHEN c.chain_digest IS DISTINCT FROM s.close_digest THEN 'another daily close' END) AS detail
    FROM merchant_statements s
    LEFT JOIN daily_closes c ON c.environment = s.environment AND c.currency = s.currency AND c.day = s.last_day
    CROSS JOIN LATERAL (
        SELECT coalesce((
            SELECT closing_minor FROM merchant_statements b
            WHERE b.merchant_id = s.merchant_id AND b.environment = s.environment AND b.currency = s.currency
              AND b.period = s.period AND b.first_day < s.first_day
            ORDER BY b.first_day DESC LIMIT 1), 0) AS closing) AS o
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(d.posted_credit_minor - d.posted_debit_minor), 0) AS closing,
               coalesce(sum(d.posted_credit_minor - d.posted_debit_minor)
                   FILTER (WHERE a.kind IN ({_FEE_KINDS}) AND d.day >= s.first_day), 0) AS fees
        FROM ledger_accounts a JOIN ledger_daily_balances d ON d.account_id = a.id
        WHERE a.merchant_id = s.merchant_id AND a.environment = s.environment AND a.currency = s.currency
          AND a.kind IN ({_MERCHANT_KINDS}) AND d.day <= s.last_day) AS l
    WHERE s.created_at >= %(since)s
      AND ((s.opening_minor, s.closing_minor, s.fees_minor) IS DISTINCT FROM (o.closing, l.closing, l.fees)
           OR c.chain_digest IS DISTINCT FROM s.close_digest)
    """,
)

CHECKS = (FEES_AGREE_WITH_PLANS, FEES_RETURNED_BY_RULE, MERCHANT_STATEMENTS_ADD_UP)
