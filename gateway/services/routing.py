"""Which channel a payment goes to that names none, and where it may go on from there."""

import hashlib
import math
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
    """`sandbox` is about the first channel; `fallback_channels` are the ones after it, in their order."""

    channel: str
    sandbox: bool
    fallback_channels: tuple[str, ...] = ()


def route_to_channel(
    *, channel: str, environment: str, amount_minor: int, currency: str, expires_in_seconds: int
) -> Route:
    """The channel that the merchant named, and no other.

    Raises `ChannelUnavailable`, `AmountNotSupported`, `ValidationFailed`.
    """
    try:
        served = get_channel(channel, environment)
    except (UnknownChannel, ChannelNotAvailable) as error:
        raise ChannelUnavailable({"channel": [str(error)]}) from error
    refused = limits.refusal(
        channel=channel,
        amount_minor=amount_minor,
        currency=currency,
        expires_in_seconds=expires_in_seconds,
    )
    if refused is not None:
        raise refused
    return Route(channel, served.sandbox)


def route_by_rules(
    *, principal: Principal, order_no: str, amount_minor: int, currency: str, expires_in_seconds: int
) -> Route:
    """By the rules, the same for every repetition of an order while rules and channels stay as they are.

    Channels that do not take the payment at all are left out. A channel whose circuit breaker is open comes after those
    that are up. Raises `ChannelUnavailable`, `AmountNotSupported`, `ValidationFailed`.
    """
    rules = _matching(principal, amount_minor=amount_minor, currency=currency)
    order = f"{principal.merchant_id}:{principal.environment}:{order_no}"
    ranked = sorted(rules, key=lambda rule: (-rule.priority, _draw(rule, order)))
    wanted = list(dict.fromkeys(rule.channel for rule in ranked)) or [
        settings.DEFAULT_CHANNELS[principal.environment]
    ]
    usable, why = _usable(wanted, principal.environment)
    if not usable:
        raise ChannelUnavailable({"channel": why})
    refusals = {
        channel: limits.refusal(
            channel=channel,
            amount_minor=amount_minor,
            currency=currency,
            expires_in_seconds=expires_in_seconds,
        )
        for channel in usable
    }
    usable = [channel for channel, refused in refusals.items() if refused is None]
    if not usable:
        raise next(refused for refused in refusals.values() if refused is not None)
    # Stable: among those that are up, and among those that are down, the rules' order stays.
    first, *rest = sorted(usable, key=lambda channel: is_down(channel, principal.environment))
    sandbox = get_channel(first, principal.environment).sandbox
    return Route(first, sandbox, tuple(rest))


def _matching(principal: Principal, *, amount_minor: int, currency: str) -> list[RoutingRule]:
    found = RoutingRule.objects.filter(
        Q(merchant=None) | Q(merchant_id=principal.merchant_id),
        Q(min_amount_minor=None) | Q(min_amount_minor__lte=amount_minor),
        Q(max_amount_minor=None) | Q(max_amount_minor__gte=amount_minor),
        environment=principal.environment,
        is_active=True,
        currency__in=("", currency),
    )
    return list(found)


def _draw(rule: RoutingRule, order: str) -> float:
    """Weighted rendezvous hashing: the smallest draw wins as often as its weight is of all weights, and a rule that
    comes or goes moves no order between the others."""
    digest = hashlib.sha256(f"{rule.pk}:{order}".encode()).digest()
    share = (int.from_bytes(digest[:8], "big") + 1) / (2**64 + 1)
    return -math.log(share) / rule.weight


def _usable(channels: list[str], environment: str) -> tuple[list[str], list[str]]:
    """Those that can serve, and why the others cannot."""
    usable, why = [], []
    for channel in channels:
        try:
            get_channel(channel, environment)
            usable.append(channel)
        except (UnknownChannel, ChannelNotAvailable) as error:
            why.append(str(error))
    return usable, why
