"""An order is paid when its payment succeeded, cancelled when its payment ended without money, and else pending."""

from collections.abc import Sequence

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from gateway.models import OPEN_PAYMENT_STATUSES, Payment, PaymentStatus
from monitoring.consistency.check import Check
from orders import services as orders

SQL = """
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
"""


def catch_up(payment_nos: Sequence[str]) -> None:
    """Moves orders that are still pending to where their payments ended. A payment that has ended never moves
    again, and an order that is not pending is left to a person."""
    for payment_no in payment_nos:
        with transaction.atomic():
            payment = Payment.objects.select_for_update().filter(payment_no=payment_no).first()
            if payment is None or payment.status in OPEN_PAYMENT_STATUSES:
                continue
            if payment.status == PaymentStatus.SUCCEEDED:
                orders.mark_paid(order_id=payment.order_id)
            else:
                orders.mark_cancelled(order_id=payment.order_id)


CHECK = Check(
    name="order_follows_payment",
    means=_("Order and payment agree in what they are and how they ended."),
    sql=SQL,
    fix=catch_up,
)
