"""Refunds that were made at the channel itself, in its dashboard for instance: found, booked and told like our own.

They are known by the channel's number for them, of which there is one row at most. A refund of ours whose answer was
lost is never taken for one: it carries our number, and our row stands before the channel hears of it. A second refund
under one number of ours is booked like one of the channel's and needs review: one number never hides two movements.
"""

import structlog
from django.db import transaction
from django.utils import timezone

from channels.base import ChannelRefund, PaymentRef, RefundState, Reported
from channels.registry import get_channel_of_payment
from common.errors import ServiceUnavailable
from common.ids import public_number
from gateway import selectors, state_machine
from gateway.models import (
    OPEN_REFUND_STATUSES,
    Payment,
    PaymentAttempt,
    PaymentReview,
    Refund,
    RefundOrigin,
    ReviewCode,
)
from gateway.services import channel_payments, channel_updates
from gateway.services.channel_updates import Effect

log = structlog.get_logger(__name__)

QUERY_TIMEOUT_SECONDS = 10.0
RETRY_AFTER = {"Retry-After": "60"}


def payment_reference(update: ChannelRefund, source: str) -> str:
    """Of a refund that we do not know: what we call its payment; empty when it is not ours. Asks the channel where it
    names the payment by its own number alone, so it must not run in a transaction.

    Raises `ServiceUnavailable` when the channel does not answer.
    """
    if selectors.has_refund(reference=update.reference, channel=source, number=update.channel_refund_no):
        return ""
    known = update.payment_reference or selectors.find_refunded_reference(update.reference)
    return known or channel_payments.reference_of(update.payment_trade_no, source, update.environment)


def apply(*, update: ChannelRefund, reference: str, source: str, was_asked: bool = False) -> Effect:
    """Takes over what the channel `source` says of a refund of the payment `reference`, whoever made the refund.
    Repeating it changes nothing.

    Raises `ServiceUnavailable` when it cannot be booked yet: the channel reports it again.
    """
    with transaction.atomic():
        effect = channel_updates.apply_refund_update(update=update, source=source, was_asked=was_asked)
        if effect is not Effect.UNKNOWN_REFERENCE or not reference:
            return effect
        payment = selectors.lock_payment_by_reference(reference)
        if payment is None:
            return effect
        attempt = selectors.find_earlier_attempt(payment, reference)
        if not channel_updates.is_source_of(source, attempt or payment, payment.environment):
            return effect
        if selectors.has_refund(reference="", channel=source, number=update.channel_refund_no):
            # Booked by somebody else while we waited for the payment's lock.
            return channel_updates.apply_refund_update(update=update, source=source, was_asked=was_asked)
        return _book(payment, attempt, update, source)


def _book(payment: Payment, attempt: PaymentAttempt | None, update: ChannelRefund, source: str) -> Effect:
    left = attempt.surplus_refundable_minor if attempt else payment.unrefunded_minor
    reused_no = _number_used_twice(payment, update)
    _wait_for_what_comes_before(payment, attempt, update)
    if update.currency.upper() != payment.currency or update.amount_minor > left:
        return _review(payment, update, left, source, reused_no)
    refund = Refund(
        refund_no=public_number("REF", timezone.now().date()),
        payment=payment,
        surplus_of=attempt,
        merchant_id=payment.merchant_id,
        environment=payment.environment,
        amount_minor=update.amount_minor,
        currency=payment.currency,
        reason=f"second refund for {reused_no} at {source}" if reused_no else f"refunded at {source}",
        origin=RefundOrigin.CHANNEL,
        channel=source,
        channel_refund_no=update.channel_refund_no,
    )
    state_machine.record_channel_refund(refund=refund)
    payment.refresh_from_db()
    log.info("refund.made_at_channel", payment_no=payment.payment_no, refund_no=refund.refund_no)
    channel_updates.settle_refund(refund=refund, update=update, was_asked=False)
    if reused_no and update.state != RefundState.FAILED:
        state_machine.open_review(
            payment=payment,
            code=ReviewCode.MISMATCH,
            subject=update.channel_refund_no,
            text=f"{source} made a second refund for {reused_no} ({update.channel_refund_no}): "
            f"booked as {refund.refund_no}",
        )
        log.error("refund.made_twice", refund_no=reused_no, channel_refund_no=update.channel_refund_no)
    return Effect.APPLIED


def _number_used_twice(payment: Payment, update: ChannelRefund) -> str:
    """Our number that the refund carries, if another refund of the channel has it already. The channel completed a
    call later that had failed, for instance (ADR 19)."""
    known = payment.refunds.filter(refund_no=update.reference) if update.reference else payment.refunds.none()
    return known.values_list("refund_no", flat=True).first() or ""


def _wait_for_what_comes_before(
    payment: Payment, attempt: PaymentAttempt | None, update: ChannelRefund
) -> None:
    """A refund that is reported before its payment, or while one of ours is in doubt that might be this very one (of
    the same amount, without the channel's number yet), is left for the channel's next report."""
    taken = attempt.surplus_minor if attempt else payment.captured_minor
    in_doubt = payment.refunds.filter(
        status__in=OPEN_REFUND_STATUSES,
        surplus_of=attempt,
        channel_refund_no="",
        amount_minor=update.amount_minor,
    )
    if (not taken and update.state != RefundState.FAILED) or in_doubt.exists():
        raise ServiceUnavailable({"payment_no": payment.payment_no}, headers=RETRY_AFTER)


def _review(payment: Payment, update: ChannelRefund, left: int, source: str, reused_no: str) -> Effect:
    """More than we can book. A person is told once for each refund."""
    known = PaymentReview.objects.filter(
        payment=payment, code=ReviewCode.CHANNEL_REFUND, subject=update.channel_refund_no
    )
    if update.state == RefundState.FAILED or known.exists():
        return Effect.NOTHING_NEW
    state_machine.open_review(
        payment=payment,
        code=ReviewCode.CHANNEL_REFUND,
        subject=update.channel_refund_no,
        text=f"{source} refunded {update.amount_minor} {update.currency} ({update.channel_refund_no}"
        f"{f', a second refund for {reused_no}' if reused_no else ''}), and only {left} {payment.currency} of "
        f"{payment.payment_no} was left to refund",
    )
    log.error("refund.exceeds_payment_at_channel", payment_no=payment.payment_no, left=left)
    return Effect.NEEDS_REVIEW


def sync(*, payment: Payment) -> bool:
    """Asks the channel for all refunds of a payment that took money, and takes them over: those made at the channel
    are found even when no webhook told of them. False when the channel did not answer."""
    answered = True
    taken: list[Payment | PaymentAttempt] = [*payment.attempts.filter(surplus_minor__gt=0)]
    if payment.captured_minor:
        taken.append(payment)
    for at in taken:
        channel = get_channel_of_payment(at.channel, payment.environment, sandbox=at.sandbox)
        answer = channel.find_refunds(
            PaymentRef(
                at.reference,
                payment.environment,
                QUERY_TIMEOUT_SECONDS,
                at.channel_trade_no,
                None if at.channel_trade_no else selectors.get_attempt_start(at),
            )
        )
        if not isinstance(answer, Reported):
            answered = False
            continue
        for update in answer.value:
            apply_listed_refund(update=update, reference=at.reference, source=channel.name, was_asked=True)
    return answered


def sync_by_trade_no(*, trade_no: str, source: str, environment: str) -> None:
    """The channel says that something of its payment `trade_no` was refunded: all its refunds are asked for.

    Raises `ServiceUnavailable` when the channel does not answer.
    """
    reference = channel_payments.reference_of(trade_no, source, environment)
    payment = selectors.find_payment_by_reference(reference) if reference else None
    if payment is not None and not sync(payment=payment):
        raise ServiceUnavailable({"channel": source}, headers=RETRY_AFTER)


def apply_listed_refund(*, update: ChannelRefund, reference: str, source: str, was_asked: bool) -> Effect:
    """`apply` for a refund from a list: one that cannot be booked yet is found again by the next list."""
    try:
        return apply(update=update, reference=reference, source=source, was_asked=was_asked)
    except ServiceUnavailable:
        log.info("refund.at_channel_waits", channel_refund_no=update.channel_refund_no)
        return Effect.NOTHING_NEW
