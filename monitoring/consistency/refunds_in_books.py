"""Refunds, both ways: what we say went back did, and what went back we know of (within the grace)."""

from django.utils.translation import gettext_lazy as _

from monitoring.consistency.check import Check

SQL = """
SELECT r.refund_no AS id
FROM refunds r JOIN payments p ON p.id = r.payment_id LEFT JOIN payment_attempts a ON a.id = r.surplus_of_id
WHERE r.created_at >= %(since)s AND r.status = 'succeeded' AND r.contradicted_at IS NULL
  AND p.environment = 'test' AND (coalesce(a.sandbox, p.sandbox) OR coalesce(a.channel, p.channel) = 'simulator')
  AND NOT EXISTS (
    SELECT 1 FROM simulator_ledger l
    WHERE l.reference = coalesce(a.reference, p.channel_reference) AND l.kind = 'refund'
      AND l.refund_reference IN (r.refund_no, r.channel_refund_no)
      AND l.amount = r.amount_minor AND l.currency = r.currency)
UNION ALL
SELECT l.refund_reference
FROM simulator_ledger l
LEFT JOIN refunds r ON (r.refund_no = l.refund_reference
        OR (r.origin = 'channel' AND r.channel = 'simulator' AND r.channel_refund_no = l.refund_reference))
    AND (r.status = 'succeeded' OR r.contradicted_at IS NOT NULL)
    AND r.amount_minor = l.amount AND r.currency = l.currency
LEFT JOIN payment_attempts a ON a.id = r.surplus_of_id
LEFT JOIN payments p ON p.id = r.payment_id AND coalesce(a.reference, p.channel_reference) = l.reference
WHERE l.kind = 'refund' AND l.at >= %(since)s AND l.at <= now() - make_interval(secs => %(grace)s)
  AND p.id IS NULL
"""

CHECK = Check(
    name="refunds_in_books",
    means=_("Every refund is in the simulator's books with the same money, and the other way round."),
    sql=SQL,
)
