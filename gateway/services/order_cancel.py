"""Cancelling an order: its open payment is cancelled at the channel first."""

from django.utils.translation import gettext as _

from common.api.envelope import Answer, success
from gateway import selectors
from gateway.models import Payment
from gateway.services.payments import cancel_payment
from idempotency.request import KeyedRequest
from idempotency.services import run_in_one_commit
from merchants.principal import Principal
from orders import services as orders
from orders.errors import OrderPaid
from orders.models import Order, OrderStatus
from orders.representation import order_body


def cancel_order(*, principal: Principal, order: Order, request: KeyedRequest, reason: str) -> Answer:
    """Raises `OrderPaid`, and what `cancel_payment` raises."""
    payment = selectors.payment_of_order(order)
    if payment is not None and payment.is_open:
        return cancel_payment(
            principal=principal,
            payment=payment,
            request=request,
            reason=reason,
            shown_as=lambda cancelled: order_body(cancelled.order),
        )
    return run_in_one_commit(request, write=lambda _id: _cancel_unpaid(order, payment))


def _cancel_unpaid(order: Order, payment: Payment | None) -> Answer:
    locked = Order.objects.select_for_update().get(id=order.id)
    if locked.status == OrderStatus.PAID:
        details = {"order_no": locked.order_no, "status": locked.status}
        raise OrderPaid(details | ({"payment_no": payment.payment_no} if payment else {}))
    orders.mark_cancelled(order_id=locked.id)
    locked.refresh_from_db()
    return success(order_body(locked), message=_("Cancelled"))
