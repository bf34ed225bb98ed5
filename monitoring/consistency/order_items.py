"""The items of an order, discounts included, add up to its amount. An order without items adds up to 0, which an
order's amount never is."""

from django.utils.translation import gettext_lazy as _

from monitoring.consistency.check import Check

SQL = """
SELECT o.order_no AS id
FROM orders o LEFT JOIN order_items i ON i.order_id = o.id
WHERE o.created_at >= %(since)s
GROUP BY o.id
HAVING COALESCE(sum(i.amount_minor), 0) <> o.amount_minor
    OR bool_or(i.amount_minor <> i.unit_amount_minor * i.quantity)
"""

CHECK = Check(
    name="order_items",
    means=_("Every order has items, and they add up to its amount."),
    sql=SQL,
)
