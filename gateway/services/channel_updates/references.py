"""Finds the payment that a channel update is about, and checks that the update comes from the payment's own channel."""

from channel_accounts.serving import get_channel_for_attempt
from channels.base import ChannelRefund, NotFoundAtChannel, PaymentRef, Reported
from channels.registry import ChannelNotAvailable
from common.errors import ServiceUnavailable
from gateway import selectors
from gateway.models import Payment, PaymentAttempt
from gateway.selectors import get_channel_of
from gateway.update_source import UpdateSource

QUERY_TIMEOUT_SECONDS = 5.0
# For a channel that sends its event again.
RETRY_LATER = {"Retry-After": "60"}


def is_from_own_channel(source: UpdateSource, target: Payment | PaymentAttempt, environment: str) -> bool:
    """Whether `source` serves the payment or attempt: its channel, with its account. A channel never moves money of
    another channel, nor an account that of another account."""
    return UpdateSource.of(get_channel_of(target, environment)) == source


def find_payment_reference(trade_no: str, source: UpdateSource, environment: str) -> str:
    """Our reference of the payment that the channel knows as `trade_no`; empty when it is not ours.

    Queries the channel when no row has the number, so that no transaction may be open. Raises `ServiceUnavailable`
    when the channel does not answer: it sends its event again.
    """
    if not trade_no:
        return ""
    known = selectors.find_attempt_reference(trade_no, source=source, environment=environment)
    if known:
        return known
    try:
        channel = get_channel_for_attempt(source.channel, environment, source.account_id).channel
    except ChannelNotAvailable:
        return ""
    if channel.name != source.channel:
        return ""
    result = channel.find_payment(PaymentRef("", channel.account, QUERY_TIMEOUT_SECONDS, trade_no))
    if not isinstance(result, Reported | NotFoundAtChannel):
        raise ServiceUnavailable({"channel": source.channel}, headers=RETRY_LATER)
    return result.value.reference if isinstance(result, Reported) else ""


def find_payment_reference_of_refund(update: ChannelRefund, source: UpdateSource) -> str:
    """Our reference of the payment of a refund that we do not know; empty when the refund is known, or not ours.

    Like `find_payment_reference`.
    """
    if selectors.has_refund(reference=update.reference, source=source, number=update.channel_refund_no):
        return ""
    known = update.payment_reference or selectors.find_refunded_reference(update.reference)
    return known or find_payment_reference(update.payment_trade_no, source, update.environment)
