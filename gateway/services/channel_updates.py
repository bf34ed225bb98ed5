"""What a channel tells about a payment or refund becomes true here: by webhook, on request, or asked by the janitor.

A plain transaction, not a saga: it touches our own tables alone. While a saga is at work on the same object, the
saga is woken and asks for itself.
"""

import structlog
from django.db import models, transaction
from django.utils.translation import gettext_lazy

from channels.base import ChannelPayment, ChannelRefund, PaymentState, RefundState
from channels.registry import get_channel_of_payment
from gateway import selectors, state_machine, tracing
from gateway.flows import payment_cancel
from gateway.flows.channel_outcomes import describe_payment_mismatch, describe_refund_mismatch
from gateway.flows.received_payments import (
    Receipt,
    receive_duplicate_payment,
    receive_payment,
    refunds_late_payments,
)
from gateway.models import (
    CLOSED_UNPAID_STATUSES,
    Payment,
    PaymentAttempt,
    PaymentStatus,
    Refund,
    RefundStatus,
    ReviewCode,
)
from sagas import operations
from sagas import selectors as saga_selectors

log = structlog.get_logger(__name__)


class Effect(models.TextChoices):
    """What came of it; stored with the channel's event."""

    APPLIED = "applied", gettext_lazy("Applied")
    NOTHING_NEW = "nothing_new", gettext_lazy("No change")
    SAGA_WOKEN = "saga_woken", gettext_lazy("Saga resumed")
    LATE_PAYMENT = "late_money", gettext_lazy("Late payment")
    NEEDS_REVIEW = "parked", gettext_lazy("Needs review")
    UNKNOWN_REFERENCE = "unknown_reference", gettext_lazy("Unknown reference")
    DISPUTED = "disputed", gettext_lazy("Dispute")


_EFFECTS = {
    Receipt.COUNTED: Effect.APPLIED,
    Receipt.RECORDED_BEFORE: Effect.NOTHING_NEW,
    Receipt.LATE: Effect.LATE_PAYMENT,
}


def apply_update(*, update: ChannelPayment | ChannelRefund, source: str) -> Effect:
    """Takes over what the channel `source` has just answered."""
    if isinstance(update, ChannelPayment):
        return apply_payment_update(update=update, source=source)
    return apply_refund_update(update=update, source=source, was_asked=True)


def apply_payment_update(*, update: ChannelPayment, source: str) -> Effect:
    """Takes over what the channel `source` says of a payment that it serves. Repeating it changes nothing."""
    with transaction.atomic():
        payment = selectors.lock_payment_by_reference(update.reference)
        if payment is None:
            return Effect.UNKNOWN_REFERENCE
        # An attempt that was given up, or None for the one that the payment stands for.
        attempt = selectors.find_earlier_attempt(payment, update.reference)
        if not is_source_of(source, attempt or payment, payment.environment):
            return Effect.UNKNOWN_REFERENCE
        with tracing.payment_update_span(payment, source) as span:
            effect = _apply_payment(payment, attempt, update)
            span.set_attribute("outcome", effect)
            return effect


def _apply_payment(payment: Payment, attempt: PaymentAttempt | None, update: ChannelPayment) -> Effect:
    mismatch = describe_payment_mismatch(
        update, reference=update.reference, amount_minor=payment.amount_minor, currency=payment.currency
    )
    if mismatch:
        _review_mismatch(payment, mismatch, subject=update.reference)
        return Effect.NEEDS_REVIEW
    if attempt is not None:
        return _given_up(payment, attempt, update)
    return _current(payment, update)


def _review_mismatch(payment: Payment, mismatch: str, *, subject: str) -> None:
    state_machine.open_review(payment=payment, code=ReviewCode.MISMATCH, subject=subject, text=mismatch)
    log.error("channel.mismatch", payment_no=payment.payment_no, subject=subject, reason=mismatch)


def is_source_of(source: str, made: Payment | PaymentAttempt, environment: str) -> bool:
    """One channel's word never moves another channel's money."""
    return get_channel_of_payment(made.channel, environment, sandbox=made.sandbox).name == source


def _current(payment: Payment, update: ChannelPayment) -> Effect:
    if update.state == PaymentState.PAID:
        return _paid(payment, update)
    opening = selectors.get_opening_saga_id(payment)
    if saga_selectors.is_active(opening):
        operations.wake(saga_id=opening)
        return Effect.SAGA_WOKEN
    if update.state == PaymentState.AUTHORIZED and payment.status in CLOSED_UNPAID_STATUSES:
        return _held_for_nothing(payment, None)
    return Effect.APPLIED if _not_paid(payment, update) else Effect.NOTHING_NEW


def _paid(payment: Payment, update: ChannelPayment) -> Effect:
    if not payment.channel_trade_no:
        payment.channel_trade_no = update.channel_trade_no
        Payment.objects.filter(id=payment.id).update(channel_trade_no=update.channel_trade_no)
    receipt = receive_payment(payment=payment, captured_minor=update.captured_minor)
    if receipt is Receipt.COUNTED:
        operations.wake(saga_id=selectors.get_opening_saga_id(payment))
    return _EFFECTS[receipt]


def _given_up(payment: Payment, attempt: PaymentAttempt, update: ChannelPayment) -> Effect:
    """News of an attempt after the payment went on to another channel."""
    if update.state == PaymentState.AUTHORIZED:
        return _held_for_nothing(payment, attempt)
    if update.state != PaymentState.PAID:
        return Effect.NOTHING_NEW
    receipt = receive_duplicate_payment(
        payment=payment,
        attempt=attempt,
        taken_minor=update.captured_minor,
        channel_trade_no=update.channel_trade_no,
    )
    return _EFFECTS[receipt]


def _held_for_nothing(payment: Payment, attempt: PaymentAttempt | None) -> Effect:
    """The channel holds money for a payment that is closed, or for an attempt that was given up: it is let go."""
    reference = attempt.reference if attempt else payment.reference
    log.warning("payment.held_for_nothing", payment_no=payment.payment_no, reference=reference)
    if not refunds_late_payments():
        state_machine.open_review(
            payment=payment,
            code=ReviewCode.HELD_FUNDS,
            subject=reference,
            text=f"the channel holds money for {reference}",
        )
        return Effect.LATE_PAYMENT
    started = payment_cancel.start_release_saga(payment=payment, attempt=attempt)
    return Effect.LATE_PAYMENT if started else Effect.NOTHING_NEW


def _not_paid(payment: Payment, update: ChannelPayment) -> bool:
    match update.state:
        case PaymentState.OPEN if payment.status == PaymentStatus.PROCESSING:
            # An attempt to pay has failed. Reports come in any order: whether it was the attempt that is being
            # processed, only a query tells, which is due at once.
            state_machine.schedule_payment_query(payment=payment)
        case PaymentState.OPEN if update.failure_code:
            return state_machine.record_refused_card(
                payment=payment, code=update.failure_code, message=update.failure_message
            )
        case PaymentState.AUTHORIZED:
            return state_machine.mark_payment_authorized(payment=payment)
        case PaymentState.PROCESSING:
            return state_machine.mark_payment_processing(payment=payment)
        case PaymentState.DECLINED:
            return state_machine.close_unpaid_payment(
                payment=payment,
                status=PaymentStatus.FAILED,
                code=update.failure_code or "declined",
                message=update.failure_message,
            )
        case PaymentState.CANCELLED if update.failure_code == PaymentStatus.EXPIRED:
            return state_machine.close_unpaid_payment(
                payment=payment, status=PaymentStatus.EXPIRED, code=PaymentStatus.EXPIRED.value, message=""
            )
        case PaymentState.CANCELLED:
            return state_machine.close_unpaid_payment(
                payment=payment, status=PaymentStatus.CANCELLED, code="cancelled_at_channel", message=""
            )
    return False


def apply_refund_update(*, update: ChannelRefund, source: str, was_asked: bool = False) -> Effect:
    """Takes over what the channel `source` says of a refund that we know. Repeating it changes nothing.

    `was_asked`: it answered a question just now; a webhook may be an old report.
    """
    with transaction.atomic():
        refund = selectors.lock_refund(
            reference=update.reference, channel=source, number=update.channel_refund_no
        )
        if refund is None:
            return Effect.UNKNOWN_REFERENCE
        payment = refund.payment
        if not is_source_of(source, refund.surplus_of or payment, payment.environment):
            return Effect.UNKNOWN_REFERENCE
        with tracing.refund_update_span(refund, source) as span:
            effect = _apply_refund(refund, update, was_asked)
            span.set_attribute("outcome", effect)
            return effect


def _apply_refund(refund: Refund, update: ChannelRefund, was_asked: bool) -> Effect:
    mismatch = describe_refund_mismatch(
        update, reference=update.reference, amount_minor=refund.amount_minor, currency=refund.currency
    )
    if mismatch:
        _review_mismatch(refund.payment, mismatch, subject=refund.refund_no)
        return Effect.NEEDS_REVIEW
    if saga_selectors.is_active(refund.id):
        operations.wake(saga_id=refund.id)
        return Effect.SAGA_WOKEN
    return settle_refund(refund=refund, update=update, was_asked=was_asked)


def settle_refund(*, refund: Refund, update: ChannelRefund, was_asked: bool) -> Effect:
    """In a transaction that holds the payment's and the refund's lock."""
    match update.state, refund.status:
        case (RefundState.FAILED, RefundStatus.SUCCEEDED):
            # The natural order of things: a bank returns money days after a refund succeeded.
            moved = state_machine.change_refund_to_failed(
                refund=refund, code=update.failure_code or "refund_failed", message=update.failure_message
            )
        case (RefundState.SUCCEEDED, RefundStatus.FAILED) if was_asked:
            moved = state_machine.change_refund_to_succeeded(
                refund=refund, channel_refund_no=update.channel_refund_no
            )
            if moved:
                log.warning("refund.succeeded_after_failure", refund_no=refund.refund_no)
        case (RefundState.SUCCEEDED, RefundStatus.FAILED):
            # Of a report that came late nobody knows which was first.
            if refund.late_refunded_minor == 0:
                state_machine.schedule_refund_confirmation(refund=refund)
            moved = False
        case RefundState.SUCCEEDED, _:
            moved = state_machine.mark_refund_succeeded(
                refund=refund, channel_refund_no=update.channel_refund_no
            )
        case RefundState.FAILED, _:
            moved = state_machine.mark_refund_failed(
                refund=refund, code=update.failure_code or "refund_failed", message=update.failure_message
            )
        case RefundState.PENDING, RefundStatus.PENDING if update.channel_refund_no:
            moved = state_machine.mark_refund_processing(
                refund=refund, channel_refund_no=update.channel_refund_no
            )
        case _:
            moved = False
    if was_asked and not moved and update.state != RefundState.PENDING:
        state_machine.end_refund_confirmation(refund=refund)
    return Effect.APPLIED if moved else Effect.NOTHING_NEW
