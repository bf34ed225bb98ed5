"""Cancelling an order: its open payment is cancelled at the channel first."""

import uuid

from django.utils.translation import gettext as _

from common.api.envelope import Answer, accepted, failure, success
from gateway import selectors
from gateway.errors import OperationInProgress, PaymentNotCancellable
from gateway.models import Payment, PaymentStatus
from gateway.services.keyed_saga import run_saga_once
from gateway.services.payments import start_cancel
from idempotency.request import KeyedRequest
from idempotency.services import run_in_one_commit
from merchants.principal import Principal
from orders import services as orders
from orders.errors import OrderPaid
from orders.models import Order, OrderStatus
from orders.representation import order_body, order_path
from orders.selectors import order_of
from sagas.models import SagaStatus
from sagas.outcomes import Failure
from sagas.state import SagaState


def cancel_order(*, principal: Principal, order: Order, request: KeyedRequest, reason: str) -> Answer:
    """Raises `OrderPaid`, `OperationInProgress`."""
    payment = selectors.payment_of_order(order)
    if payment is None:
        return run_in_one_commit(request, write=lambda _id: _cancel_unpaid(order))
    return _cancel_with_payment(
        principal=principal, order=order, payment=payment, request=request, reason=reason
    )


def _cancel_with_payment(
    *, principal: Principal, order: Order, payment: Payment, request: KeyedRequest, reason: str
) -> Answer:
    def begin(saga_id: uuid.UUID) -> SagaState | None:
        Payment.objects.select_for_update().get(id=payment.id)  # before the order, in the platform's order
        orders.withdraw_order(order_id=order.id)
        try:
            return start_cancel(
                payment_id=payment.id, saga_id=saga_id, final_status=PaymentStatus.CANCELLED, reason=reason
            )
        except PaymentNotCancellable:
            return None  # it is closed: the order tells how

    def answer_of(_saga_id: uuid.UUID, status: SagaStatus | None, _failure: Failure | None) -> Answer:
        now = order_of(principal, order.order_no)
        about = {"order_no": now.order_no, "payment_no": payment.payment_no, "status": now.status}
        if now.status == OrderStatus.CANCELLED:
            return success(order_body(now), message=_("Cancelled"))
        if now.status == OrderStatus.PAID:
            return failure(OrderPaid(about))
        submitted = selectors.payment_by_id(payment.id).status == PaymentStatus.PROCESSING
        if submitted or status in (SagaStatus.COMPENSATED, SagaStatus.FAILED):
            return failure(PaymentNotCancellable(about))
        return accepted(order_body(now), location=order_path(now))

    return run_saga_once(request, begin=begin, answer_of=answer_of)


def _cancel_unpaid(order: Order) -> Answer:
    locked = Order.objects.select_for_update().get(id=order.id)
    payment = selectors.payment_of_order(locked)
    if payment is not None:  # begun while we waited for the lock: a repeat cancels it too
        raise OperationInProgress({"order_no": locked.order_no, "payment_no": payment.payment_no})
    orders.withdraw_order(order_id=locked.id)
    orders.mark_cancelled(order_id=locked.id)
    locked.refresh_from_db()
    return success(order_body(locked), message=_("Cancelled"))
