"""Repairs of violations, by check. A repair exists only if it is safe at any time."""

import uuid
from collections.abc import Callable, Mapping, Sequence

from django.db import transaction

from gateway.models import OPEN_PAYMENT_STATUSES, Payment, PaymentStatus
from orders import services as orders
from sagas import engine, operations


def resume_sagas(saga_ids: Sequence[str]) -> None:
    """Resumes sagas as a worker would. Claims and fencing tokens make it safe beside a worker."""
    for saga_id in map(uuid.UUID, saga_ids):
        operations.wake_saga(saga_id=saga_id)
        engine.resume_saga(saga_id)


def update_orders(payment_nos: Sequence[str]) -> None:
    """Moves pending orders to the status that follows from their payment. A payment that has ended never changes
    again; an order that is not pending needs review."""
    for payment_no in payment_nos:
        with transaction.atomic():
            payment = Payment.objects.select_for_update().filter(payment_no=payment_no).first()
            if payment is None or payment.status in OPEN_PAYMENT_STATUSES:
                continue
            if payment.status == PaymentStatus.SUCCEEDED:
                orders.mark_order_paid(order_id=payment.order_id)
            else:
                orders.mark_order_cancelled(order_id=payment.order_id)


# By the name of the check; called with the `id` of each violation.
REPAIRS: Mapping[str, Callable[[Sequence[str]], None]] = {
    "stuck_sagas": resume_sagas,
    "order_follows_payment": update_orders,
}
