"""Records refunds that were made at the channel, in Stripe's dashboard for example, like our own.

The channel's number identifies such a refund: one row at most has it. A refund of ours whose answer was lost is never
recorded a second time: it carries our number, and our row is committed before the call. A second refund under one
number of ours is recorded as the channel's and opens a review, so that one number never hides two movements of money.

A refund with a number of ours that no row has was made before our database was restored to an earlier moment. It is
adopted under that number, which the merchant knows, and opens a review (ADR 53).
"""

import re

import structlog
from django.utils import timezone

from channels.base import ChannelRefund, RefundState
from common.errors import ServiceUnavailable
from common.ids import public_number
from gateway import state_machine
from gateway.models import (
    OPEN_REFUND_STATUSES,
    Payment,
    PaymentAttempt,
    Refund,
    RefundOrigin,
    ReviewCode,
    UpdateEffect,
)
from gateway.review_reasons import ReviewMessage, ReviewReason, amount_value
from gateway.services.channel_updates.references import RETRY_LATER
from gateway.services.channel_updates.refund_outcomes import apply_refund_outcome
from gateway.update_source import UpdateSource

log = structlog.get_logger(__name__)

_REFUND_NO = re.compile(r"REF-[0-9]{8}-[0-9]{6,20}")


def record_dashboard_refund(
    *, payment: Payment, attempt: PaymentAttempt | None, update: ChannelRefund, source: UpdateSource
) -> UpdateEffect:
    """Records a refund of the payment, or of the duplicate payment that `attempt` took. The caller holds the payment's
    lock and has found no row of the refund.

    Raises `ServiceUnavailable` when the refund cannot be recorded yet.
    """
    left_minor = attempt.unbooked_duplicate_minor if attempt else payment.unbooked_minor
    reused_no = _find_reused_number(payment, update)
    lost_no = _find_lost_number(update)
    if payment.suspense_items.filter(channel_refund_no=update.channel_refund_no).exists():
        return _apply_to_suspense(payment, update)
    if _is_too_early(payment, attempt, update, is_lost=bool(lost_no)):
        raise ServiceUnavailable({"payment_no": payment.payment_no}, headers=RETRY_LATER)
    if update.currency.upper() != payment.currency or update.amount_minor > left_minor:
        return _hold_excess(payment, attempt, update, left_minor, source, reused_no)
    refund = Refund(
        refund_no=lost_no or public_number("REF", timezone.now().date()),
        payment=payment,
        duplicate_attempt=attempt,
        merchant_id=payment.merchant_id,
        environment=payment.environment,
        amount_minor=update.amount_minor,
        currency=payment.currency,
        reason=f"second refund for {reused_no} at {source}" if reused_no else f"refunded at {source}",
        origin=RefundOrigin.CHANNEL,
        channel=source.channel,
        channel_account_id=source.account_id,
        channel_refund_no=update.channel_refund_no,
    )
    state_machine.record_channel_refund(refund=refund)
    payment.refresh_from_db()
    log.info("refund.made_at_channel", payment_no=payment.payment_no, refund_no=refund.refund_no)
    apply_refund_outcome(refund=refund, update=update, is_current=False)
    if reused_no and update.state != RefundState.FAILED:
        _review_second_refund(refund, source, reused_no)
    if lost_no:
        _review_adopted_refund(refund, source)
    return UpdateEffect.APPLIED


def _find_reused_number(payment: Payment, update: ChannelRefund) -> str:
    """Our number, if the channel made a second refund with it: a call that had failed was completed later, for
    instance (ADR 19). Otherwise empty."""
    if not update.reference:
        return ""
    known = payment.refunds.filter(refund_no=update.reference)
    return known.values_list("refund_no", flat=True).first() or ""


def _find_lost_number(update: ChannelRefund) -> str:
    """Our number, if no refund has it. Otherwise empty."""
    if (
        not _REFUND_NO.fullmatch(update.reference)
        or Refund.objects.filter(refund_no=update.reference).exists()
    ):
        return ""
    return update.reference


def _is_too_early(
    payment: Payment, attempt: PaymentAttempt | None, update: ChannelRefund, *, is_lost: bool
) -> bool:
    """Whether the refund is reported before its payment, or may be one of ours whose answer is still missing: one of
    the same amount that has no number of the channel yet. A lost one has a number of its own."""
    captured_minor = attempt.duplicate_minor if attempt else payment.captured_minor
    if not captured_minor and update.state != RefundState.FAILED:
        return True
    if is_lost:
        return False
    unanswered = payment.refunds.filter(
        status__in=OPEN_REFUND_STATUSES,
        duplicate_attempt=attempt,
        channel_refund_no="",
        amount_minor=update.amount_minor,
    )
    return unanswered.exists()


def _apply_to_suspense(payment: Payment, update: ChannelRefund) -> UpdateEffect:
    """The refund is known: it exceeded the payment when it was first reported. A failed one leaves suspense."""
    is_returned = update.state == RefundState.FAILED and state_machine.return_from_suspense(
        payment=payment, channel_refund_no=update.channel_refund_no
    )
    return UpdateEffect.APPLIED if is_returned else UpdateEffect.NOTHING_NEW


def _hold_excess(
    payment: Payment,
    attempt: PaymentAttempt | None,
    update: ChannelRefund,
    left_minor: int,
    source: UpdateSource,
    reused_no: str,
) -> UpdateEffect:
    """Puts a refund of more than is left to refund into suspense, and opens one review for it."""
    if update.state == RefundState.FAILED:
        return UpdateEffect.NOTHING_NEW
    state_machine.hold_in_suspense(
        payment=payment,
        attempt=attempt,
        channel_refund_no=update.channel_refund_no,
        amount_minor=update.amount_minor,
        currency=update.currency.upper(),
    )
    state_machine.open_review(
        payment=payment,
        code=ReviewCode.CHANNEL_REFUND,
        subject=update.channel_refund_no,
        reason=ReviewReason(
            ReviewMessage.SECOND_REFUND_BEYOND if reused_no else ReviewMessage.REFUND_BEYOND,
            {
                "channel": str(source),
                "amount": amount_value(update.amount_minor, update.currency.upper()),
                "channel_refund_no": update.channel_refund_no,
                "refund_no": reused_no,
                "left": amount_value(left_minor, payment.currency),
                "payment_no": payment.payment_no,
            },
        ),
    )
    log.error("refund.exceeds_payment_at_channel", payment_no=payment.payment_no, left_minor=left_minor)
    return UpdateEffect.NEEDS_REVIEW


def _review_adopted_refund(refund: Refund, source: UpdateSource) -> None:
    """As long as the review is open, no second refund of the same amount is taken (`flows/refund_checks.py`)."""
    state_machine.open_review(
        payment=refund.payment,
        code=ReviewCode.ADOPTED,
        subject=refund.refund_no,
        reason=ReviewReason(
            ReviewMessage.REFUND_ADOPTED,
            {
                "channel": str(source),
                "refund_no": refund.refund_no,
                "channel_refund_no": refund.channel_refund_no,
            },
        ),
    )
    log.warning("refund.adopted", refund_no=refund.refund_no, channel_refund_no=refund.channel_refund_no)


def _review_second_refund(refund: Refund, source: UpdateSource, reused_no: str) -> None:
    state_machine.open_review(
        payment=refund.payment,
        code=ReviewCode.MISMATCH,
        subject=refund.channel_refund_no,
        reason=ReviewReason(
            ReviewMessage.SECOND_REFUND,
            {
                "channel": str(source),
                "refund_no": reused_no,
                "channel_refund_no": refund.channel_refund_no,
                "booked_as": refund.refund_no,
            },
        ),
    )
    log.error("refund.made_twice", refund_no=reused_no, channel_refund_no=refund.channel_refund_no)
