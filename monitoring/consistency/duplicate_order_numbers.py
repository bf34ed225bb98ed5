"""The unique constraints forbid it; a constraint that was dropped, or left invalid by a restore, does not."""

from django.utils.translation import gettext_lazy as _

from monitoring.consistency.check import Check

SQL = """
SELECT p.payment_no AS id FROM payments p
WHERE p.created_at >= %(since)s AND EXISTS (
    SELECT 1 FROM payments other
    WHERE other.merchant_id = p.merchant_id AND other.environment = p.environment
      AND other.order_no = p.order_no AND other.id <> p.id)
UNION ALL
SELECT o.order_no FROM orders o
WHERE o.created_at >= %(since)s AND EXISTS (
    SELECT 1 FROM orders other
    WHERE other.merchant_id = o.merchant_id AND other.environment = o.environment
      AND other.order_no = o.order_no AND other.id <> o.id)
"""

CHECK = Check(
    name="duplicate_order_numbers",
    means=_("No merchant has two payments or two orders with one order_no."),
    sql=SQL,
)
