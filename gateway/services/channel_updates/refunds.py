"""Applies what a channel reports about a refund: one of ours, or one that was made at the channel."""

import structlog
from django.db import transaction

from channels.base import ChannelRefund
from common.errors import ServiceUnavailable
from gateway import selectors, tracing
from gateway.flows.channel_outcomes import describe_refund_mismatch
from gateway.flows.received_payments import open_mismatch_review
from gateway.models import Refund, UpdateEffect
from gateway.services.channel_updates.dashboard_refunds import record_dashboard_refund
from gateway.services.channel_updates.references import is_from_own_channel
from gateway.services.channel_updates.refund_outcomes import apply_refund_outcome
from gateway.update_source import UpdateSource
from sagas import operations
from sagas import selectors as saga_selectors

log = structlog.get_logger(__name__)


def apply_refund_update(
    *, update: ChannelRefund, source: UpdateSource, payment_reference: str = "", is_current: bool = False
) -> UpdateEffect:
    """Applies the update that `source` reports. Applying it again changes nothing.

    `payment_reference`: the payment of a refund that we may not know; without it an unknown refund is not recorded.
    `is_current` as in `apply_refund_outcome`. Raises `ServiceUnavailable` when the refund cannot be recorded yet: the
    channel reports it again.
    """
    with transaction.atomic():
        effect = _apply_to_known_refund(update, source, is_current=is_current)
        if effect is not UpdateEffect.UNKNOWN_REFERENCE or not payment_reference:
            return effect
        payment = selectors.lock_payment_by_reference(payment_reference)
        if payment is None:
            return effect
        attempt = selectors.find_earlier_attempt(payment, payment_reference)
        if not is_from_own_channel(source, attempt or payment, payment.environment):
            return effect
        if selectors.has_refund(reference="", source=source, number=update.channel_refund_no):
            # Another process recorded it while we waited for the payment's lock.
            return _apply_to_known_refund(update, source, is_current=is_current)
        return record_dashboard_refund(payment=payment, attempt=attempt, update=update, source=source)


def apply_listed_refund(
    *, update: ChannelRefund, source: UpdateSource, payment_reference: str, is_current: bool
) -> UpdateEffect:
    """Applies a refund from a list. The next list has a refund again that cannot be recorded yet."""
    try:
        return apply_refund_update(
            update=update, source=source, payment_reference=payment_reference, is_current=is_current
        )
    except ServiceUnavailable:
        log.info("refund.listed_too_early", channel_refund_no=update.channel_refund_no)
        return UpdateEffect.NOTHING_NEW


def _apply_to_known_refund(update: ChannelRefund, source: UpdateSource, *, is_current: bool) -> UpdateEffect:
    refund = selectors.lock_refund(reference=update.reference, source=source, number=update.channel_refund_no)
    if refund is None:
        return UpdateEffect.UNKNOWN_REFERENCE
    payment = refund.payment
    if not is_from_own_channel(source, refund.duplicate_attempt or payment, payment.environment):
        return UpdateEffect.UNKNOWN_REFERENCE
    with tracing.refund_update_span(refund, source.channel) as span:
        effect = _apply_unless_mismatched(refund, update, is_current=is_current)
        span.set_attribute("outcome", effect)
        return effect


def _apply_unless_mismatched(refund: Refund, update: ChannelRefund, *, is_current: bool) -> UpdateEffect:
    mismatch = describe_refund_mismatch(
        update, reference=update.reference, amount_minor=refund.amount_minor, currency=refund.currency
    )
    if mismatch:
        open_mismatch_review(payment=refund.payment, subject=refund.refund_no, mismatch=mismatch)
        return UpdateEffect.NEEDS_REVIEW
    if saga_selectors.is_saga_active(refund.id):
        operations.wake_saga(saga_id=refund.id)
        return UpdateEffect.SAGA_WOKEN
    return apply_refund_outcome(refund=refund, update=update, is_current=is_current)
