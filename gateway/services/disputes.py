"""What a channel tells of disputes: written down, counted, and left to a person. The money itself is fought for on the
channel's own pages; our books follow when a person refunds or resolves."""

import structlog
from django.db import transaction

from common.errors import ServiceUnavailable
from gateway import selectors, transitions
from gateway.channels import metrics
from gateway.channels.base import Answered, ChannelDispute, Missing, PaymentRef
from gateway.channels.registry import ChannelNotAvailable, served_by
from gateway.services.truth import Effect

log = structlog.get_logger(__name__)

ASK_TIMEOUT_SECONDS = 5.0


def reference_of(told: ChannelDispute, teller: str) -> str:
    """What we know the disputed payment by, asked from the channel; empty for one that is not ours.

    Raises `ServiceUnavailable` when the channel does not answer: it sends its event again.
    """
    try:
        channel = served_by(teller, told.environment).channel
    except ChannelNotAvailable:
        return ""
    if channel.name != teller or not told.channel_trade_no:
        return ""
    answer = channel.find_payment(
        PaymentRef("", told.environment, ASK_TIMEOUT_SECONDS, told.channel_trade_no)
    )
    if not isinstance(answer, Answered | Missing):
        raise ServiceUnavailable({"channel": teller}, headers={"Retry-After": "60"})
    return "" if isinstance(answer, Missing) else answer.value.reference


def apply(*, told: ChannelDispute, reference: str, teller: str) -> Effect:
    """In the transaction that stores the event."""
    log.warning("payment.disputed", reference=reference, status=told.status, reason=told.reason)
    payment = selectors.locked_by_reference(reference) if reference else None
    if told.is_news:
        transaction.on_commit(metrics.DISPUTES.labels(teller, told.environment).inc)
    if payment is not None and told.is_news:
        amount = f"{told.amount_minor} {told.currency} in minor units"
        transitions.needs_attention(
            payment=payment, reason=f"disputed at {teller} ({told.reason}): {amount}, {told.status}"
        )
    return Effect.DISPUTED
