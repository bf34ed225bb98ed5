"""payment.create: creates the order and payment, and the channel's payment that the customer pays.

1. CreateOrder (LOCAL)             order, payment, first attempt, event       compensation: fail payment, cancel order
2. CallPaymentChannel (EXTERNAL)   creates the payment at the channel         compensation: cancel it at the channel
3. ActivatePayment (LOCAL)         records where the customer pays

`payment_channel_call.py` has step 2, which payment.retry shares.
"""

from datetime import timedelta

from django.db.models import Model

from channels.base import PaymentState
from common.db import insert_together
from events.outbox import build_event_row
from gateway import metrics, selectors, state_machine
from gateway.flows.channel_attempt import CALL_PAYMENT_CHANNEL
from gateway.flows.data import PaymentCreateData
from gateway.flows.payment_channel_call import CALL_CHANNEL
from gateway.flows.payment_complete import complete_approved_payment
from gateway.flows.payment_resolutions import PAYMENT_RESOLUTIONS
from gateway.flows.received_payments import receive_payment
from gateway.flows.start import start_flow
from gateway.models import Payment, PaymentAttempt, PaymentStatus, build_attempt_reference
from orders import services as orders
from orders.errors import DuplicateOrderNo
from sagas.definitions import LOCAL, Context, Definition, RowsOfStart, Step
from sagas.outcomes import Failure, StepFailed
from sagas.registry import register
from sagas.state import SagaState

CREATED = "payment.created"
# In `Context.written_objects`: the new payment; and as the last step left it, so that the answer needs no query.
CREATED_PAYMENT = "created_payment"
ACTIVATED_PAYMENT = "activated_payment"


def create_order(context: Context) -> None:
    """Creates order, items, payment, first attempt and event: in the transaction that starts the saga, or as rows of
    its one statement (`rows_of_start`).

    Raises `DuplicateOrderNo`, `OrderNotPayable`, `OrderMismatch` in a transaction.
    """
    data, start = PaymentCreateData.read(context.data), context.rows_of_start
    draft = _read_order_draft(data)
    if start is not None:
        placed = orders.build_order(order_id=data.order_id, draft=draft, now=start.now)
        payment, rows = _build_rows(data, placed)
        start.rows.extend([placed.order, *rows])
    else:
        placed = _find_or_place_order(data, draft)
        payment, rows = _build_rows(data, placed)
        insert_together(*rows)
    context.written_objects[CREATED_PAYMENT] = payment


def _build_rows(data: PaymentCreateData, placed: orders.FoundOrder) -> tuple[Payment, list[Model]]:
    """The payment, and the rows to insert: the order's items, the payment, its first attempt and the event."""
    payment = Payment(
        id=data.payment_id,
        payment_no=data.payment_no,
        merchant_id=data.merchant_id,
        environment=data.environment,
        order=placed.order,
        order_no=data.order_no,
        amount_minor=data.amount_minor,
        currency=data.currency,
        channel=data.channel,
        channel_account_id=data.channel_account_id,
        sandbox=data.sandbox,
        payment_method=data.get_method_name(data.channel),
        capture_method=data.capture_method,
        subject=data.subject,
        body=data.body,
        callback_url=data.callback_url,
        return_url=data.return_url,
        customer=data.customer,
        metadata=data.metadata,
        channel_reference=build_attempt_reference(data.payment_no, 1),
        created_at=placed.now,
        expires_at=placed.now + timedelta(seconds=data.expires_in_seconds),
    )
    created = state_machine.build_payment_event(CREATED, payment)
    attempt = PaymentAttempt(
        payment=payment,
        reference=payment.channel_reference,
        channel=data.channel,
        channel_account_id=data.channel_account_id,
        sandbox=data.sandbox,
        application_fee_minor=data.get_application_fee(data.choices[0]),
    )
    return payment, [*placed.items, payment, attempt, build_event_row(created)]


def _read_order_draft(data: PaymentCreateData) -> orders.OrderDraft:
    return orders.OrderDraft(
        merchant_id=data.merchant_id,
        environment=data.environment,
        order_no=data.order_no,
        amount_minor=data.amount_minor,
        currency=data.currency,
        subject=data.subject,
        items=tuple(orders.ItemDraft(**item) for item in data.items),
        metadata=data.metadata,
    )


def _find_or_place_order(data: PaymentCreateData, draft: orders.OrderDraft) -> orders.FoundOrder:
    found = orders.find_or_place_order(order_id=data.order_id, draft=draft)
    if not found.is_new:
        payment = selectors.find_payment_of_order(found.order)
        if payment is not None:
            raise DuplicateOrderNo({"order_no": data.order_no, "payment_no": payment.payment_no})
        orders.require_order_payable(order=found.order, draft=draft)
    return found


def close_payment_and_order(context: Context) -> None:
    """Compensation: the payment fails, or is cancelled when that was requested, and its order is cancelled."""
    data = PaymentCreateData.read(context.data)
    failure = context.failure or Failure("unknown", "")
    payment = selectors.lock_payment(data.payment_id)
    status = PaymentStatus.CANCELLED if failure.code == "cancel_requested" else PaymentStatus.FAILED
    closed = state_machine.close_unpaid_payment(
        payment=payment, status=status, code=failure.code, message=failure.message
    )
    if not closed and payment.status == PaymentStatus.SUCCEEDED:
        raise StepFailed("paid_meanwhile", "the payment was reported paid while it was being rolled back")


def activate_payment(context: Context) -> None:
    """Records where the customer pays, and the state that the channel has reported already."""
    data = PaymentCreateData.read(context.data)
    result = context.results[CALL_PAYMENT_CHANNEL]
    payment = state_machine.activate_payment(
        payment_id=data.payment_id,
        channel_trade_no=result["channel_trade_no"],
        next_action=result["next_action"],
    )
    state = PaymentState(result["state"])
    if state == PaymentState.OPEN:
        context.written_objects[ACTIVATED_PAYMENT] = payment
        return
    payment = selectors.lock_payment(data.payment_id)
    match state:
        case PaymentState.PAID:
            receive_payment(payment=payment, captured_minor=result["captured_minor"])
        case PaymentState.AUTHORIZED:
            state_machine.mark_payment_authorized(payment=payment)
        case PaymentState.PROCESSING:
            state_machine.mark_payment_processing(payment=payment)
        case PaymentState.APPROVED:
            complete_approved_payment(payment=payment, complete_before=result["complete_before"])


CREATE_ORDER = Step("CreateOrder", create_order, kind=LOCAL, compensate=close_payment_and_order)
ACTIVATE_PAYMENT = Step("ActivatePayment", activate_payment, kind=LOCAL)

PAYMENT_CREATE = register(
    Definition(
        name="payment.create",
        version=1,
        business_type="payment",
        deadline_seconds=15 * 60,
        steps=(
            CREATE_ORDER,
            CALL_CHANNEL,
            ACTIVATE_PAYMENT,
        ),
        resolutions=PAYMENT_RESOLUTIONS,
    )
)


def start_payment_create(*, data: PaymentCreateData, rows_of_start: RowsOfStart | None = None) -> SagaState:
    """Starts payment.create in the caller's transaction, or with one statement. Raises what `create_order` raises."""
    saga = start_flow(
        PAYMENT_CREATE,
        saga_id=data.payment_id,
        business_id=data.payment_no,
        data=data,
        environment=data.environment,
        merchant_id=data.merchant_id,
        rows_of_start=rows_of_start,
    )
    metrics.count_payment_event(CREATED, saga.written_objects[CREATED_PAYMENT])
    return saga
