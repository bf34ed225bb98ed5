"""What a channel tells about a payment or refund becomes true here: by webhook, on request, or asked by the janitor.

A plain transaction, not a saga: it touches our own tables alone. While a saga is at work on the same object, the
saga is woken and asks for itself.
"""

import enum

import structlog
from django.conf import settings
from django.db import transaction

from gateway import tracing, transitions
from gateway.channels.base import ChannelPayment, ChannelRefund, PaymentState, RefundState
from gateway.channels.registry import ChannelNotAvailable, served_by
from gateway.flows.answers import payment_mismatch, refund_mismatch
from gateway.models import Payment, PaymentStatus, Refund
from gateway.services import refunds
from sagas import operations, selectors

log = structlog.get_logger(__name__)


class Effect(enum.StrEnum):
    """What came of it; stored with the channel's event."""

    APPLIED = "applied"
    NOTHING_NEW = "nothing_new"
    SAGA_WOKEN = "saga_woken"
    LATE_MONEY = "late_money"
    PARKED = "parked"
    UNKNOWN_REFERENCE = "unknown_reference"


def apply_payment(*, told: ChannelPayment, teller: str) -> Effect:
    """Takes over what the channel `teller` says of a payment that it serves. Repeating it changes nothing."""
    with transaction.atomic():
        payment = Payment.objects.select_for_update().filter(payment_no=told.reference).first()
        if payment is None or not _serves(teller, payment):
            return Effect.UNKNOWN_REFERENCE
        with tracing.news_of_payment(payment, teller) as news:
            return news.came_to(_apply_payment(payment, told))


def _apply_payment(payment: Payment, told: ChannelPayment) -> Effect:
    mismatch = payment_mismatch(
        told, reference=payment.payment_no, amount_minor=payment.amount_minor, currency=payment.currency
    )
    if mismatch:
        transitions.needs_attention(payment=payment, reason=mismatch)
        log.error("payment.mismatch", payment_no=payment.payment_no, reason=mismatch)
        return Effect.PARKED
    if told.state == PaymentState.PAID:
        return _paid(payment, told)
    if selectors.is_active(payment.id):
        operations.wake(saga_id=payment.id)
        return Effect.SAGA_WOKEN
    return Effect.APPLIED if _not_paid(payment, told) else Effect.NOTHING_NEW


def _serves(teller: str, payment: Payment) -> bool:
    """One channel's word never moves another channel's money."""
    try:
        return served_by(payment.channel, payment.environment).channel.name == teller
    except ChannelNotAvailable:
        return False


def _paid(payment: Payment, told: ChannelPayment) -> Effect:
    if not payment.channel_trade_no:
        Payment.objects.filter(id=payment.id).update(channel_trade_no=told.channel_trade_no)
    if transitions.succeeded(payment=payment, captured_minor=told.captured_minor):
        operations.wake(saga_id=payment.id)
        return Effect.APPLIED
    payment.refresh_from_db()
    if payment.status == PaymentStatus.SUCCEEDED:
        return Effect.NOTHING_NEW
    if not transitions.late_success(payment=payment, captured_minor=told.captured_minor):
        return Effect.NOTHING_NEW
    log.warning("payment.late_success", payment_no=payment.payment_no, status=payment.status)
    if settings.LATE_MONEY_POLICY == "refund":
        refunds.start_late_refund(payment=payment, reason=f"paid after the payment was {payment.status}")
    else:
        transitions.needs_attention(payment=payment, reason=f"paid after the payment was {payment.status}")
    return Effect.LATE_MONEY


def _not_paid(payment: Payment, told: ChannelPayment) -> bool:
    match told.state:
        case PaymentState.AUTHORIZED:
            return transitions.authorized(payment=payment)
        case PaymentState.PROCESSING:
            return transitions.processing(payment=payment)
        case PaymentState.DECLINED:
            return transitions.closed_unpaid(
                payment=payment,
                status=PaymentStatus.FAILED,
                code=told.failure_code or "declined",
                message=told.failure_message,
            )
        case PaymentState.CANCELLED if told.failure_code == PaymentStatus.EXPIRED:
            return transitions.closed_unpaid(
                payment=payment, status=PaymentStatus.EXPIRED, code=PaymentStatus.EXPIRED.value, message=""
            )
        case PaymentState.CANCELLED:
            return transitions.closed_unpaid(
                payment=payment, status=PaymentStatus.CANCELLED, code="cancelled_at_channel", message=""
            )
    return False


def apply_refund(*, told: ChannelRefund, teller: str) -> Effect:
    """Takes over what the channel `teller` says of a refund that it serves. Repeating it changes nothing."""
    with transaction.atomic():
        refund = Refund.objects.select_related("payment").filter(refund_no=told.reference).first()
        if refund is None or not _serves(teller, refund.payment):
            return Effect.UNKNOWN_REFERENCE
        payment = Payment.objects.select_for_update().get(id=refund.payment_id)
        refund = Refund.objects.select_for_update().get(id=refund.id)
        refund.payment = payment
        with tracing.news_of_refund(refund, teller) as news:
            return news.came_to(_apply_refund(refund, told))


def _apply_refund(refund: Refund, told: ChannelRefund) -> Effect:
    mismatch = refund_mismatch(
        told, reference=refund.refund_no, amount_minor=refund.amount_minor, currency=refund.currency
    )
    if mismatch:
        transitions.needs_attention(payment=refund.payment, reason=mismatch)
        log.error("refund.mismatch", refund_no=refund.refund_no, reason=mismatch)
        return Effect.PARKED
    if selectors.is_active(refund.id):
        operations.wake(saga_id=refund.id)
        return Effect.SAGA_WOKEN
    return Effect.APPLIED if _settle(refund, told) else Effect.NOTHING_NEW


def _settle(refund: Refund, told: ChannelRefund) -> bool:
    match told.state:
        case RefundState.SUCCEEDED:
            return transitions.refund_succeeded(refund=refund, channel_refund_no=told.channel_refund_no)
        case RefundState.FAILED:
            return transitions.refund_failed(
                refund=refund, code=told.failure_code or "refund_failed", message=told.failure_message
            )
    return False
