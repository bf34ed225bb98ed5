"""Applies the state that a channel reports of a known refund."""

import structlog

from channels.base import ChannelRefund, RefundState
from gateway import state_machine
from gateway.models import OPEN_REFUND_STATUSES, Refund, RefundStatus, ReviewCode, UpdateEffect
from gateway.review_reasons import ReviewMessage, ReviewReason

log = structlog.get_logger(__name__)


def apply_refund_outcome(*, refund: Refund, update: ChannelRefund, is_current: bool) -> UpdateEffect:
    """Applies the reported state. The caller holds the locks of the payment and the refund.

    `is_current`: the channel has just answered a query. A webhook or a listing may be older than what we know.
    """
    match update.state, refund.status:
        case RefundState.SUCCEEDED, RefundStatus.FAILED if is_current:
            changed = state_machine.change_refund_to_succeeded(
                refund=refund, channel_refund_no=update.channel_refund_no
            )
            if changed:
                log.warning("refund.succeeded_after_failure", refund_no=refund.refund_no)
        case RefundState.SUCCEEDED, RefundStatus.FAILED:
            # Nothing tells which of the two happened first: a query decides.
            if refund.late_refunded_minor == 0:
                state_machine.schedule_refund_confirmation(refund=refund)
            changed = False
        case RefundState.SUCCEEDED, _:
            changed = state_machine.mark_refund_succeeded(
                refund=refund, channel_refund_no=update.channel_refund_no
            )
        case RefundState.FAILED, RefundStatus.SUCCEEDED:
            # No query is needed: a bank returns money days after a refund succeeded, never the other way round.
            changed = state_machine.change_refund_to_failed(
                refund=refund, code=_failure_code(update), message=update.failure_message
            )
        case RefundState.FAILED, _:
            changed = state_machine.mark_refund_failed(
                refund=refund, code=_failure_code(update), message=update.failure_message
            )
        case RefundState.PENDING, RefundStatus.PENDING if update.channel_refund_no:
            changed = state_machine.mark_refund_processing(
                refund=refund, channel_refund_no=update.channel_refund_no
            )
        case RefundState.PENDING, _:
            changed = False
    if refund.payment.needs_attention and changed and update.state != RefundState.PENDING:
        state_machine.resolve_reviews(
            payment=refund.payment,
            codes=(ReviewCode.NO_OUTCOME,),
            subject=refund.refund_no,
            resolution=f"the channel reports the refund as {update.state}",
            actor="channel",
        )
    if update.state == RefundState.PENDING and update.failure_code:
        _review_blocked_refund(refund, update)
        return UpdateEffect.NEEDS_REVIEW
    if is_current and not changed and update.state != RefundState.PENDING:
        state_machine.end_refund_confirmation(refund=refund)
    return UpdateEffect.APPLIED if changed else UpdateEffect.NOTHING_NEW


def _review_blocked_refund(refund: Refund, update: ChannelRefund) -> None:
    """The channel can neither complete nor end the refund without staff: the customer's card is dead, for instance.
    The money may still reach the customer, so that the amount stays reserved."""
    if refund.status not in OPEN_REFUND_STATUSES:
        return
    state_machine.open_review(
        payment=refund.payment,
        code=ReviewCode.NO_OUTCOME,
        subject=refund.refund_no,
        reason=ReviewReason(
            ReviewMessage.REFUND_BLOCKED,
            {"refund_no": refund.refund_no, "detail": update.failure_message or update.failure_code},
        ),
    )
    log.warning("refund.blocked", refund_no=refund.refund_no, code=update.failure_code)


def _failure_code(update: ChannelRefund) -> str:
    return update.failure_code or "refund_failed"
