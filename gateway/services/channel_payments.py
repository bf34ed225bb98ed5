"""Which payment of ours a channel speaks of when it names its own number alone."""

from channels.base import NotFoundAtChannel, PaymentRef, Reported
from channels.registry import ChannelNotAvailable, get_channel
from common.errors import ServiceUnavailable
from gateway import selectors

QUERY_TIMEOUT_SECONDS = 5.0


def reference_of(trade_no: str, source: str, environment: str) -> str:
    """What we know the channel's payment `trade_no` by, asked from the channel where our rows do not tell; empty for
    one that is not ours. No transaction may be open.

    Raises `ServiceUnavailable` when the channel does not answer: it sends its event again.
    """
    if not trade_no:
        return ""
    known = selectors.find_attempt_reference(trade_no, channel=source, environment=environment)
    if known:
        return known
    try:
        channel = get_channel(source, environment).channel
    except ChannelNotAvailable:
        return ""
    if channel.name != source:
        return ""
    answer = channel.find_payment(PaymentRef("", environment, QUERY_TIMEOUT_SECONDS, trade_no))
    if not isinstance(answer, Reported | NotFoundAtChannel):
        raise ServiceUnavailable({"channel": source}, headers={"Retry-After": "60"})
    return answer.value.reference if isinstance(answer, Reported) else ""
