"""A payment's totals are kept beside its refunds, for the limit's sake; both tell the same."""

from django.utils.translation import gettext_lazy as _

from monitoring.consistency.check import Check

SQL = """
WITH touched AS (
    SELECT id FROM payments WHERE created_at >= %(since)s
    UNION
    SELECT payment_id FROM refunds WHERE created_at >= %(since)s
)
SELECT p.payment_no AS id
FROM touched JOIN payments p ON p.id = touched.id LEFT JOIN refunds r ON r.payment_id = p.id AND r.surplus_of_id IS NULL
GROUP BY p.id
HAVING p.refunded_minor <> COALESCE(sum(r.amount_minor) FILTER (WHERE r.status = 'succeeded'), 0)
       + COALESCE(sum(r.late_refunded_minor), 0)
    OR p.refund_pending_minor
       <> COALESCE(sum(r.amount_minor) FILTER (WHERE r.status IN ('pending', 'processing')), 0)
    OR p.refunded_minor + p.refund_pending_minor > p.captured_minor
    OR bool_or(r.currency <> p.currency)
UNION ALL
SELECT a.reference
FROM payment_attempts a LEFT JOIN refunds r ON r.surplus_of_id = a.id
WHERE a.surplus_minor > 0 AND a.created_at >= %(since)s
GROUP BY a.id
HAVING a.surplus_refunded_minor <> COALESCE(sum(r.amount_minor) FILTER (WHERE r.status = 'succeeded'), 0)
       + COALESCE(sum(r.late_refunded_minor), 0)
    OR a.surplus_pending_minor
       <> COALESCE(sum(r.amount_minor) FILTER (WHERE r.status IN ('pending', 'processing')), 0)
"""

CHECK = Check(
    name="refund_totals",
    means=_("A payment's refunds are what it says was refunded, and never more than was captured."),
    sql=SQL,
)
