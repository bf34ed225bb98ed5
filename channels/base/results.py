"""The results of calls to a channel.

Each method returns one of these results; the result contains the retry decision:

    Reported            the channel reports the payment or refund as it is now
    Declined            it did not happen and never will
    InvalidRequest      our request is wrong; it had no effect
    NotProcessed        it certainly did not happen; retry later
    UnknownOutcome      it may have happened: query, or repeat with the same idempotency key
    NewKeyRequired      repeating this idempotency key is useless: query, then call with a new key
    NotFoundAtChannel   the channel does not know the payment or refund, and nothing of ours can still create it
    NotYet              the channel does not know the payment, but a page or form in the customer's hands can create it

A result is what the channel answered. What a saga does with it is an outcome, which the gateway derives from it.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Generic, TypeVar

from channels.base.updates import ChannelDispute, ChannelPayment, ChannelRefund

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reported(Generic[T]):
    """The channel reports the payment or refund as it is now, in whatever state."""

    value: T


@dataclass(frozen=True, slots=True)
class Declined:
    """The channel's definite "no".

    `code` is one of our failure codes (card_declined, insufficient_funds, …), the same for all channels.
    `can_fail_over`: the reason lies with this channel (an outage of its acquirer, a currency that it does not take), so
    that a fallback channel may accept the same payment.
    """

    code: str
    message: str
    can_fail_over: bool = False


@dataclass(frozen=True, slots=True)
class NotProcessed:
    """The call certainly had no effect and can be retried.

    `is_channel_fault`: the channel does not work, which counts for its circuit breaker. `spends_attempt` is False when
    we refused the call ourselves.
    """

    reason: str
    retry_after_seconds: float | None = None
    is_channel_fault: bool = True
    spends_attempt: bool = True


@dataclass(frozen=True, slots=True)
class UnknownOutcome:
    """The call may have had an effect: query, or repeat it with the same idempotency key.

    `is_channel_fault` as in `NotProcessed`. `spends_attempt` is False for a call that was sent as a probe.
    """

    reason: str
    is_channel_fault: bool = True
    spends_attempt: bool = True


@dataclass(frozen=True, slots=True)
class InvalidRequest:
    """The channel refuses the request as wrong: a defect of ours, or a wrong parameter of the merchant.

    The call had no effect. With `is_query` the channel refused a query that was part of the operation: that decides
    nothing about the payment or refund. `code` and `param` are the channel's.
    """

    code: str
    message: str
    param: str = ""
    is_query: bool = False


@dataclass(frozen=True, slots=True)
class NewKeyRequired:
    """Repeating the call with this idempotency key is useless: the channel has stored an error as its answer, or
    refuses the parameters that are bound to the key.

    No call with the key is still on its way, so a query that finds nothing is certain. With `is_harmless` no query is
    needed: the calls with this key can move no money, whatever they did.
    """

    reason: str
    is_harmless: bool = False


@dataclass(frozen=True, slots=True)
class NotFoundAtChannel:
    """The channel does not know the payment or refund, and nothing that we gave away can still create it."""


@dataclass(frozen=True, slots=True)
class NotYet:
    """The channel does not know the payment, but it can still come into being: the customer may hold a page or form
    that we signed. From `until` on this is over, and a query reports the payment or `NotFoundAtChannel`."""

    until: dt.datetime


# Every result that does not report the payment or refund itself.
NotReported = (
    Declined | InvalidRequest | NotProcessed | UnknownOutcome | NewKeyRequired | NotFoundAtChannel | NotYet
)

PaymentResult = Reported[ChannelPayment] | NotReported
RefundResult = Reported[ChannelRefund] | NotReported
DisputeResult = Reported[ChannelDispute] | NotReported
# The channel's number of an uploaded file.
FileResult = Reported[str] | NotReported
RefundListResult = Reported[tuple[ChannelRefund, ...]] | NotReported
