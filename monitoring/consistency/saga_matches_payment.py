"""What a saga says it did is what the payment or refund shows."""

from django.utils.translation import gettext_lazy as _

from monitoring.consistency.check import Check

SQL = """
SELECT p.payment_no AS id
FROM payments p JOIN saga_instances s ON s.id = p.id
WHERE p.created_at >= %(since)s
  AND NOT EXISTS (SELECT 1 FROM payment_attempts a WHERE a.payment_id = p.id AND a.opened_by IS NOT NULL)
  AND ((s.status = 'completed' AND p.channel_trade_no = '')
    OR (s.status = 'compensated' AND p.status NOT IN ('failed', 'cancelled', 'expired')))
UNION ALL
SELECT r.refund_no
FROM refunds r JOIN saga_instances s ON s.id = r.id
WHERE r.created_at >= %(since)s
  AND ((s.status = 'completed' AND (r.status = 'pending' OR r.channel_refund_no = ''))
    OR (s.status = 'compensated' AND r.status <> 'failed' AND r.contradicted_at IS NULL))
UNION ALL
SELECT p.payment_no
FROM saga_instances s JOIN payments p ON p.payment_no = s.business_id
WHERE s.created_at >= %(since)s AND s.status = 'completed'
  AND s.metadata->>'reference' = p.channel_reference
  AND ((s.definition = 'payment.cancel' AND p.status IN ('pending', 'processing', 'authorized'))
    OR (s.definition = 'payment.capture' AND p.status <> 'succeeded'))
"""

CHECK = Check(
    name="saga_matches_payment",
    means=_("A finished saga and its payment or refund tell the same story."),
    sql=SQL,
)
