"""Chooses the channel of a payment, and its fallback channels."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db.models import Q

from channels.registry import (
    ChannelNotAvailable,
    UnknownChannel,
    get_channel,
    is_down,
)
from gateway import limits
from gateway.errors import ChannelUnavailable
from gateway.models import RoutingRule
from merchants.principal import Principal


@dataclass(frozen=True, slots=True)
class Route:
    """`sandbox` is about `channel`. `fallback_channels` may be tried after it, in their order."""

    channel: str
    sandbox: bool
    fallback_channels: tuple[str, ...] = ()


def route_to_channel(
    *, channel: str, environment: str, amount_minor: int, currency: str, expires_in_seconds: int
) -> Route:
    """Routes to the channel that the merchant named, without fallback channels.

    Raises `ChannelUnavailable`, `AmountNotSupported`, `ValidationFailed`.
    """
    try:
        found = get_channel(channel, environment)
    except (UnknownChannel, ChannelNotAvailable) as error:
        raise ChannelUnavailable({"channel": [str(error)]}) from error
    refusal = limits.find_refusal(
        channel=channel,
        amount_minor=amount_minor,
        currency=currency,
        expires_in_seconds=expires_in_seconds,
    )
    if refusal is not None:
        raise refusal
    return Route(channel, found.sandbox)


def route_by_rules(
    *, principal: Principal, order_no: str, amount_minor: int, currency: str, expires_in_seconds: int
) -> Route:
    """Routes by the routing rules, or to the default channel. The route of an order is the same in every repetition
    while rules and channels stay as they are.

    Channels that cannot take the payment are left out; channels whose circuit breaker is open come last. Raises
    `ChannelUnavailable`, `AmountNotSupported`, `ValidationFailed`.
    """
    rules = _find_matching_rules(principal, amount_minor=amount_minor, currency=currency)
    order = f"{principal.merchant_id}:{principal.environment}:{order_no}"
    ranked = sorted(rules, key=lambda rule: (-rule.priority, _draw_weighted(rule, order)))
    # A channel counts once, at its best place.
    channels = list(dict.fromkeys(rule.channel for rule in ranked)) or [
        settings.DEFAULT_CHANNELS[principal.environment]
    ]
    available, reasons = _split_by_availability(channels, principal.environment)
    if not available:
        raise ChannelUnavailable({"channel": reasons})
    refusals = {
        channel: limits.find_refusal(
            channel=channel,
            amount_minor=amount_minor,
            currency=currency,
            expires_in_seconds=expires_in_seconds,
        )
        for channel in available
    }
    usable = [channel for channel, refusal in refusals.items() if refusal is None]
    if not usable:
        raise next(refusal for refusal in refusals.values() if refusal is not None)
    # The sort is stable: the rules' order stays among the channels that are up, and among those that are down.
    first, *rest = sorted(usable, key=lambda channel: is_down(channel, principal.environment))
    sandbox = get_channel(first, principal.environment).sandbox
    return Route(first, sandbox, tuple(rest))


def _find_matching_rules(principal: Principal, *, amount_minor: int, currency: str) -> list[RoutingRule]:
    rules = RoutingRule.objects.filter(
        Q(merchant=None) | Q(merchant_id=principal.merchant_id),
        Q(min_amount_minor=None) | Q(min_amount_minor__lte=amount_minor),
        Q(max_amount_minor=None) | Q(max_amount_minor__gte=amount_minor),
        environment=principal.environment,
        is_active=True,
        currency__in=("", currency),
    )
    return list(rules)


def _draw_weighted(rule: RoutingRule, order: str) -> float:
    """Weighted rendezvous hashing: a rule has the smallest draw as often as its share of all weights. Adding or
    removing a rule moves no order between the other rules."""
    digest = hashlib.sha256(f"{rule.pk}:{order}".encode()).digest()
    share = (int.from_bytes(digest[:8], "big") + 1) / (2**64 + 1)
    return -math.log(share) / rule.weight


def _split_by_availability(channels: Sequence[str], environment: str) -> tuple[list[str], list[str]]:
    """The channels that are available, and the reasons why the others are not."""
    available, reasons = [], []
    for channel in channels:
        try:
            get_channel(channel, environment)
            available.append(channel)
        except (UnknownChannel, ChannelNotAvailable) as error:
            reasons.append(str(error))
    return available, reasons
