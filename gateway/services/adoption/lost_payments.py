"""Adopts a payment that a channel lists and that a restored database does not know.

The rows are those of any payment: order, payment, attempt, ledger entries, events. Refunds, captures and disputes then
work as usual. What only the merchant's request said is lost, and an open review says so. Its code `adopted` also marks
the payment for good: it has no saga.
"""

import datetime as dt
import enum
import uuid
from dataclasses import dataclass

import structlog
from django.conf import settings
from django.db import connection, transaction

from channels.base import ChannelPayment, PaymentState
from common.db import insert_together
from common.ids import uuid7
from common.money import EXPONENTS
from events.outbox import append_event
from gateway import selectors, state_machine
from gateway.flows.running import find_running_operation
from gateway.models import CaptureMethod, Payment, PaymentAttempt, ReviewCode
from gateway.next_action import describe_next_action
from gateway.review_reasons import ReviewMessage, ReviewReason, reason_value, status_value
from gateway.services.adoption.lost_attempts import adopt_attempt
from gateway.services.adoption.origins import Origin
from gateway.services.channel_updates.payments import apply_payment_update
from gateway.update_source import UpdateSource
from merchants.models import Merchant
from orders import services as orders
from orders.errors import DuplicateOrderNo
from orders.models import Order, OrderItem, OrderStatus

log = structlog.get_logger(__name__)

# Two runs at once adopt each payment once. The second half of the lock's key is the hash of the payment number.
_LOCK_CLASS = 4053


class AdoptionOutcome(enum.StrEnum):
    ADOPTED = "adopted"
    KNOWN = "known"  # another run adopts it, or has adopted it
    NO_MERCHANT = "no_merchant"  # nobody has kept whose it is, or we do not know this merchant
    NO_AMOUNT = "no_amount"  # the channel names no amount in a currency of ours
    SAGA_RUNNING = "saga_running"  # a saga works on the payment: run again after it
    NUMBER_TAKEN = "number_taken"  # a payment of another environment, merchant or order has the number


@dataclass(frozen=True, slots=True)
class LostPayment:
    """A payment of a channel's list without a row here. `created_at` is the channel's time."""

    payment_no: str
    number: int
    environment: str
    update: ChannelPayment
    created_at: dt.datetime
    source: UpdateSource
    origin: Origin
    restored_to: dt.datetime

    @property
    def amount_minor(self) -> int:
        """Some lists name only what was captured."""
        return self.update.amount_minor or self.update.captured_minor


def adopt_payment(*, lost: LostPayment) -> AdoptionOutcome:
    """Makes the rows of the payment or attempt and applies its state at the channel, in one transaction."""
    if lost.amount_minor < 1 or lost.update.currency.upper() not in EXPONENTS:
        return AdoptionOutcome.NO_AMOUNT
    try:
        with transaction.atomic():
            outcome = _adopt(lost) if _try_lock_number(lost.payment_no) else AdoptionOutcome.KNOWN
    except DuplicateOrderNo:  # an order has the payment's number as its name
        return AdoptionOutcome.NUMBER_TAKEN
    if outcome is AdoptionOutcome.ADOPTED:
        log.warning("payment.adopted", payment_no=lost.payment_no, reference=lost.update.reference)
    return outcome


def _try_lock_number(payment_no: str) -> bool:
    """False while another run adopts the payment: that run reports it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, hashtext(%s))", [_LOCK_CLASS, payment_no])
        return bool(cursor.fetchone()[0])


def _adopt(lost: LostPayment) -> AdoptionOutcome:
    payment = Payment.objects.select_for_update(of=("self",)).filter(payment_no=lost.payment_no).first()
    if payment is None:
        merchant_id = lost.origin.merchant_id
        if merchant_id is None or not Merchant.objects.filter(id=merchant_id).exists():
            return AdoptionOutcome.NO_MERCHANT
        payment = _create_payment(lost, merchant_id)
    else:
        obstacle = _find_obstacle(lost, payment)
        if obstacle is not None:
            return obstacle
        _add_attempt(lost, payment)
    if payment.reference == lost.update.reference:
        state_machine.activate_payment(
            payment_id=payment.id,
            channel_trade_no=lost.update.channel_trade_no,
            next_action=describe_next_action(lost.update.next_action),
        )
    apply_payment_update(update=lost.update, source=lost.source)
    return AdoptionOutcome.ADOPTED


def _find_obstacle(lost: LostPayment, payment: Payment) -> AdoptionOutcome | None:
    """Why no attempt is added to the payment that we know; None when one can be added."""
    is_same_merchant = lost.origin.merchant_id in (None, payment.merchant_id)
    if payment.environment != lost.environment or not is_same_merchant:
        # The owner of an account at the channel can write any number into its lists.
        return AdoptionOutcome.NUMBER_TAKEN
    if payment.attempts.filter(reference=lost.update.reference).exists():
        return AdoptionOutcome.KNOWN
    if find_running_operation(payment) is not None:
        return AdoptionOutcome.SAGA_RUNNING  # it may begin the same attempt itself
    return None


def _add_attempt(lost: LostPayment, payment: Payment) -> None:
    adopt_attempt(payment=payment, number=lost.number, update=lost.update, source=lost.source)
    values = {**_describe_listing(lost), "number": lost.number}
    state_machine.open_review(
        payment=payment,
        code=ReviewCode.ADOPTED,
        subject=lost.update.reference,
        reason=ReviewReason(ReviewMessage.ATTEMPT_ADOPTED, values),
    )


def _create_payment(lost: LostPayment, merchant_id: uuid.UUID) -> Payment:
    payment_id = uuid7()
    order, items, remark = _place_order(lost, merchant_id)
    payment = Payment(
        id=payment_id,
        payment_no=lost.payment_no,
        merchant_id=merchant_id,
        environment=lost.environment,
        order=order,
        order_no=order.order_no,
        amount_minor=lost.amount_minor,
        currency=lost.update.currency.upper(),
        channel=lost.source.channel,
        channel_account_id=lost.source.account_id,
        payment_method=lost.update.payment_method,
        capture_method=CaptureMethod.MANUAL
        if lost.update.state == PaymentState.AUTHORIZED
        else CaptureMethod.AUTOMATIC,
        subject=lost.payment_no,
        channel_reference=lost.update.reference,
        created_at=lost.created_at,
        expires_at=lost.created_at + dt.timedelta(seconds=settings.PAYMENT_EXPIRES_IN_SECONDS),
    )
    attempt = PaymentAttempt(
        payment=payment,
        number=lost.number,
        reference=lost.update.reference,
        channel=lost.source.channel,
        channel_account_id=lost.source.account_id,
    )
    insert_together(*items, payment, attempt)
    payment = selectors.lock_payment(payment_id)
    append_event(state_machine.build_payment_event("payment.created", payment))
    _open_review(payment, lost, remark)
    return payment


def _place_order(
    lost: LostPayment, merchant_id: uuid.UUID
) -> tuple[Order, tuple[OrderItem, ...], ReviewReason | None]:
    """The order, the items to insert, and a remark for the review.

    An order of the merchant's number that waits for this amount is the payment's. Any other order of that number stays
    as it is, and the payment gets one under its own number. Raises `DuplicateOrderNo` when that is taken too.
    """
    wanted = lost.origin.order_no or lost.payment_no
    found = orders.find_or_place_order(order_id=uuid7(), draft=_build_draft(lost, merchant_id, wanted))
    if found.is_new:
        remark = None if lost.origin.order_no else ReviewReason(ReviewMessage.ORDER_NUMBER_UNKNOWN)
        return found.order, found.items, remark
    other = selectors.find_payment_of_order(found.order)
    expected = (OrderStatus.PENDING, lost.amount_minor, lost.update.currency.upper())
    if other is None and (found.order.status, found.order.amount_minor, found.order.currency) == expected:
        return found.order, (), None
    if other is not None:
        values = {"order_no": wanted, "payment_no": other.payment_no}
        remark = ReviewReason(ReviewMessage.ORDER_OF_OTHER_PAYMENT, values)
    else:
        status = status_value(OrderStatus(found.order.status))
        remark = ReviewReason(ReviewMessage.ORDER_TAKEN, {"order_no": wanted, "status": status})
    own = orders.find_or_place_order(order_id=uuid7(), draft=_build_draft(lost, merchant_id, lost.payment_no))
    if not own.is_new:
        raise DuplicateOrderNo({"order_no": lost.payment_no})
    return own.order, own.items, remark


def _build_draft(lost: LostPayment, merchant_id: uuid.UUID, order_no: str) -> orders.OrderDraft:
    return orders.OrderDraft(
        merchant_id=merchant_id,
        environment=lost.environment,
        order_no=order_no,
        amount_minor=lost.amount_minor,
        currency=lost.update.currency.upper(),
        subject=lost.payment_no,
    )


def _open_review(payment: Payment, lost: LostPayment, remark: ReviewReason | None) -> None:
    state_machine.open_review(
        payment=payment,
        code=ReviewCode.ADOPTED,
        subject=payment.payment_no,
        reason=ReviewReason(
            ReviewMessage.PAYMENT_ADOPTED, {**_describe_listing(lost), "remark": reason_value(remark)}
        ),
    )


def _describe_listing(lost: LostPayment) -> dict[str, str]:
    return {
        "channel": str(lost.source),
        "channel_trade_no": lost.update.channel_trade_no,
        "restored_to": f"{lost.restored_to:%Y-%m-%d %H:%M:%SZ}",
    }
