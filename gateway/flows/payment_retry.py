"""payment.retry: a further attempt of a payment that ended without money, when the merchant requests it (ADR 18).

1. ReopenPayment (LOCAL)           payment and order are pending again        compensation: fail payment, cancel order
2. CallPaymentChannel (EXTERNAL)   as in payment.create
3. ActivatePayment (LOCAL)         as in payment.create

The payment keeps its number. The new attempt has a reference of its own, so that updates about an earlier attempt
cannot touch it: money of an earlier attempt is a duplicate payment, which is refunded.
"""

import dataclasses
import uuid

from gateway import selectors, state_machine
from gateway.flows.data import PaymentCreateData
from gateway.flows.payment_channel_call import CALL_CHANNEL
from gateway.flows.payment_create import ACTIVATE_PAYMENT, close_payment_and_order
from gateway.flows.payment_resolutions import PAYMENT_RESOLUTIONS
from gateway.flows.running import find_running_operation
from gateway.flows.start import start_flow
from gateway.models import CLOSED_UNPAID_STATUSES, Payment
from orders import services as orders
from orders.errors import DuplicateOrderNo, OrderMismatch, OrderNotPayable
from sagas.definitions import LOCAL, Context, Definition, Step
from sagas.registry import register
from sagas.state import SagaState


def reopen_payment(context: Context) -> None:
    """Makes payment and order pending again, with a new attempt, in the transaction that starts the saga."""
    data = PaymentCreateData.read(context.data)
    payment = selectors.lock_payment(data.payment_id)
    reopened = state_machine.reopen_payment(
        payment=payment,
        number=data.first_attempt,
        opened_by=context.saga_id,
        expires_in_seconds=data.expires_in_seconds,
        channel=data.channel,
        channel_account_id=data.channel_account_id,
        sandbox=data.sandbox,
        application_fee_minor=data.get_application_fee(data.choices[0]),
        payment_method=data.get_method_name(data.channel),
        capture_method=data.capture_method,
        subject=data.subject,
        body=data.body,
        callback_url=data.callback_url,
        return_url=data.return_url,
        customer=data.customer,
        metadata=data.metadata,
    )
    if not reopened:
        raise DuplicateOrderNo({"order_no": payment.order_no, "payment_no": payment.payment_no})
    if not orders.reopen_order(order_id=payment.order_id):
        raise OrderNotPayable({"order_no": payment.order_no, "payment_no": payment.payment_no})


PAYMENT_RETRY = register(
    Definition(
        name="payment.retry",
        version=1,
        business_type="payment",
        deadline_seconds=15 * 60,
        steps=(
            Step("ReopenPayment", reopen_payment, kind=LOCAL, compensate=close_payment_and_order),
            CALL_CHANNEL,
            ACTIVATE_PAYMENT,
        ),
        resolutions=PAYMENT_RESOLUTIONS,
    )
)


def start_payment_retry(*, payment_no: str, saga_id: uuid.UUID, requested: PaymentCreateData) -> SagaState:
    """Starts payment.retry for the payment `payment_no`, with the values of `requested`. The caller's transaction holds
    the order's lock: of two requests at once the second finds the payment open.

    Raises `DuplicateOrderNo` when the payment is open or paid, has a late payment, or while an operation on it is
    running; `OrderNotPayable` when the order itself was cancelled; `OrderMismatch`.
    """
    payment = Payment.objects.get(payment_no=payment_no)
    if (
        payment.status not in CLOSED_UNPAID_STATUSES
        or payment.captured_minor
        or find_running_operation(payment)
    ):
        raise DuplicateOrderNo({"order_no": payment.order_no, "payment_no": payment_no})
    if (payment.amount_minor, payment.currency) != (requested.amount_minor, requested.currency):
        raise OrderMismatch(
            {"order_no": payment.order_no, "amount": payment.amount_minor, "currency": payment.currency}
        )
    data = dataclasses.replace(
        requested,
        payment_id=payment.id,
        payment_no=payment_no,
        order_id=payment.order_id,
        items=[],
        first_attempt=state_machine.get_next_attempt_number(payment=payment),
        opened_by=str(saga_id),
    )
    return start_flow(
        PAYMENT_RETRY,
        saga_id=saga_id,
        business_id=payment_no,
        data=data,
        environment=data.environment,
        merchant_id=data.merchant_id,
    )
