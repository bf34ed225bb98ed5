"""What is open without a saga at work is asked about at the channel, so that no payment or refund is forgotten."""

from django.utils.translation import gettext_lazy as _

from monitoring.consistency.check import Check

SQL = """
SELECT p.payment_no AS id
FROM payments p
WHERE p.created_at >= %(since)s AND p.status IN ('pending', 'processing', 'authorized')
  AND p.next_check_at IS NULL AND NOT p.needs_attention
  AND NOT EXISTS (
    SELECT 1 FROM saga_instances s
    WHERE s.business_id = p.payment_no AND (s.status IN ('pending', 'in_progress') OR s.needs_attention))
UNION ALL
SELECT r.refund_no
FROM refunds r JOIN payments p ON p.id = r.payment_id
WHERE r.created_at >= %(since)s AND r.status IN ('pending', 'processing') AND r.next_check_at IS NULL
  AND NOT p.needs_attention
  AND NOT EXISTS (
    SELECT 1 FROM saga_instances s
    WHERE s.business_id = r.refund_no AND (s.status IN ('pending', 'in_progress') OR s.needs_attention))
"""

CHECK = Check(
    name="open_payments_watched",
    means=_("Every open payment and refund has a saga at work, a next question to the channel, or a person."),
    sql=SQL,
)
