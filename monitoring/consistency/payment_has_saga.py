"""Payment and saga are created together and share their id, as do refund and saga; neither is there alone. A refund
that was made at the channel has no saga. The saga of an automatic refund waits for a worker, whose first step writes
the refund."""

from django.utils.translation import gettext_lazy as _

from monitoring.consistency.check import Check

SQL = """
SELECT p.payment_no AS id
FROM payments p LEFT JOIN saga_instances s
    ON s.id = p.id AND s.definition = 'payment.create' AND s.business_id = p.payment_no
WHERE p.created_at >= %(since)s AND p.created_at > now() - make_interval(secs => %(saga_retention)s)
  AND s.id IS NULL
UNION ALL
SELECT r.refund_no
FROM refunds r LEFT JOIN saga_instances s
    ON s.id = r.id AND s.definition = 'refund.create' AND s.business_id = r.refund_no
WHERE r.created_at >= %(since)s AND r.created_at > now() - make_interval(secs => %(saga_retention)s)
  AND s.id IS NULL AND r.origin <> 'channel'
UNION ALL
SELECT s.business_id
FROM saga_instances s LEFT JOIN payments p ON p.id = s.id LEFT JOIN refunds r ON r.id = s.id
WHERE s.created_at >= %(since)s
  AND ((s.definition = 'payment.create' AND p.id IS NULL)
    OR (s.definition = 'refund.create' AND r.id IS NULL
        AND (s.status NOT IN ('pending', 'in_progress') OR EXISTS (
            SELECT 1 FROM saga_steps t
            WHERE t.saga_id = s.id AND t.step_name = 'ReserveRefund' AND t.status <> 'pending'))))
"""

CHECK = Check(
    name="payment_has_saga",
    means=_("Every payment and every refund has the saga that made it, and the other way round."),
    sql=SQL,
)
