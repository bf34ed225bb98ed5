"""What each state that a channel reports of a known refund does to the refund."""

import structlog

from channels.base import ChannelRefund, RefundState
from gateway import state_machine
from gateway.models import Refund, RefundStatus, UpdateEffect

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
    if is_current and not changed and update.state != RefundState.PENDING:
        state_machine.end_refund_confirmation(refund=refund)
    return UpdateEffect.APPLIED if changed else UpdateEffect.NOTHING_NEW


def _failure_code(update: ChannelRefund) -> str:
    return update.failure_code or "refund_failed"
