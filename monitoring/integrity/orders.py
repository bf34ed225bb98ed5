"""Checks of orders and their payments."""

from django.utils.translation import gettext_lazy as _

from monitoring.integrity.check import IntegrityCheck

# Unique constraints forbid it, unless one was dropped, or left invalid by a restore.
DUPLICATE_ORDER_NUMBERS = IntegrityCheck(
    "duplicate_order_numbers",
    _("No merchant has two payments or two orders with one order_no."),
    """
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
    """,
)

# An order without items adds up to 0, which an order's amount never is. Discounts are items too.
ORDER_ITEMS = IntegrityCheck(
    "order_items",
    _("Every order has items, and they add up to its amount."),
    """
    SELECT o.order_no AS id
    FROM orders o LEFT JOIN order_items i ON i.order_id = o.id
    WHERE o.created_at >= %(since)s
    GROUP BY o.id
    HAVING COALESCE(sum(i.amount_minor), 0) <> o.amount_minor
        OR bool_or(i.amount_minor <> i.unit_amount_minor * i.quantity)
    """,
)

ORDER_FOLLOWS_PAYMENT = IntegrityCheck(
    "order_follows_payment",
    _("An order has the merchant and amount of its payment, and the status that follows from the payment's."),
    """
    SELECT p.payment_no AS id
    FROM payments p JOIN orders o ON o.id = p.order_id
    WHERE p.created_at >= %(since)s
      AND (o.status <> CASE WHEN p.status = 'succeeded' THEN 'paid'
                            WHEN p.status IN ('failed', 'cancelled', 'expired') THEN 'cancelled'
                            ELSE 'pending' END
        OR (o.merchant_id, o.environment, o.order_no, o.amount_minor, o.currency)
           IS DISTINCT FROM (p.merchant_id, p.environment, p.order_no, p.amount_minor, p.currency))
    UNION ALL
    SELECT o.order_no FROM orders o
    WHERE o.created_at >= %(since)s AND o.status = 'paid'
      AND NOT EXISTS (SELECT 1 FROM payments p WHERE p.order_id = o.id)
    """,
)

CHECKS = (DUPLICATE_ORDER_NUMBERS, ORDER_ITEMS, ORDER_FOLLOWS_PAYMENT)
