"""POST /orders/{order_no}/cancel: the order's open payment is cancelled at the channel first."""

from django.utils.translation import gettext as _

from common.api.envelope import Answer, accepted, failure, success
from gateway import selectors
from gateway.errors import OperationInProgress, PaymentNotCancellable
from gateway.models import Payment, PaymentStatus
from gateway.services.cancel_payment import start_cancel
from gateway.services.saga_writes import SagaResult, run_claimed_saga
from idempotency.request import KeyedRequest
from idempotency.services.claim import Claim
from idempotency.services.claim_key import claim_key
from idempotency.services.finish_claim import write_in_one_commit
from merchants.principal import Principal
from orders import services as orders
from orders.errors import OrderPaid
from orders.models import Order, OrderStatus
from orders.representation import order_body, order_path
from orders.selectors import get_order
from sagas.models import SagaStatus
from sagas.state import SagaState


def cancel_order(*, principal: Principal, order: Order, request: KeyedRequest, reason: str) -> Answer:
    """Raises `OrderPaid`, `OperationInProgress`."""
    payment = selectors.find_payment_of_order(order)
    if payment is None:
        return write_in_one_commit(request, write=lambda _id: _cancel_order_without_payment(order))
    return _cancel_order_and_payment(
        principal=principal, order=order, payment=payment, request=request, reason=reason
    )


def _cancel_order_and_payment(
    *, principal: Principal, order: Order, payment: Payment, request: KeyedRequest, reason: str
) -> Answer:
    def begin(claim: Claim[SagaState | None]) -> SagaState | None:
        selectors.lock_payment(payment.id)  # lock order: payment, then order
        orders.withdraw_order(order_id=order.id)
        try:
            return start_cancel(
                payment_id=payment.id,
                saga_id=claim.resource_id,
                final_status=PaymentStatus.CANCELLED,
                reason=reason,
            )
        except PaymentNotCancellable:
            return None  # the payment is closed or submitted: `build_answer` reads the order's status

    def build_answer(result: SagaResult) -> Answer:
        current = get_order(principal, order.order_no)
        details = {
            "order_no": current.order_no,
            "payment_no": payment.payment_no,
            "status": current.status,
        }
        if current.status == OrderStatus.CANCELLED:
            return success(order_body(current), message=_("Cancelled"))
        if current.status == OrderStatus.PAID:
            return failure(OrderPaid(details))
        is_submitted = selectors.get_payment_by_id(payment.id).status == PaymentStatus.PROCESSING
        if is_submitted or result.status in (SagaStatus.COMPENSATED, SagaStatus.FAILED):
            return failure(PaymentNotCancellable(details))
        return accepted(order_body(current), location=order_path(current))

    claim = claim_key(request, begin=begin)
    return run_claimed_saga(claim, build_answer=build_answer)


def _cancel_order_without_payment(order: Order) -> Answer:
    locked = Order.objects.select_for_update().get(id=order.id)
    payment = selectors.find_payment_of_order(locked)
    if payment is not None:  # created while this request waited for the lock: a repetition cancels it too
        raise OperationInProgress({"order_no": locked.order_no, "payment_no": payment.payment_no})
    orders.withdraw_order(order_id=locked.id)
    orders.mark_order_cancelled(order_id=locked.id)
    locked.refresh_from_db()
    return success(order_body(locked), message=_("Cancelled"))
