"""Which channel serves a payment. Adding a channel is adding its module and a row here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from channels.base import Channel, Limits, NotProcessed
from channels.guard import GuardedChannel
from channels.simulator.channel import SimulatorChannel
from channels.stripe import config as stripe_config
from channels.stripe.channel import LIMITS as STRIPE_LIMITS
from channels.stripe.channel import StripeChannel

SIMULATOR, STRIPE = "simulator", "stripe"
TEST, LIVE = "test", "live"

_simulator, _stripe = SimulatorChannel(), StripeChannel()
# Channels that need no settings and serve both environments, by name.
_further: dict[str, Channel] = {}


_limits = {STRIPE: STRIPE_LIMITS}
_NO_LIMITS = Limits()


class UnknownChannel(Exception):
    """There is no channel of this name."""

    def __init__(self, channel: str) -> None:
        super().__init__(f"There is no channel '{channel}'. Known are: {', '.join(list_channel_names())}.")
        self.channel = channel


class ChannelNotAvailable(Exception):
    """The channel exists and cannot serve this environment as the platform is set up."""

    def __init__(self, channel: str, environment: str, why: str) -> None:
        super().__init__(f"Channel '{channel}' is not available with {environment} keys: {why}")
        self.channel, self.environment, self.why = channel, environment, why


@dataclass(frozen=True, slots=True)
class AvailableChannel:
    """`channel` is guarded by its circuit breaker. `sandbox`: the simulator stands in for the one asked for."""

    channel: GuardedChannel
    sandbox: bool


def list_channel_names() -> tuple[str, ...]:
    return (SIMULATOR, STRIPE, *_further)


def get_channel_limits(channel: str) -> Limits:
    """Of a channel by its name. They are the same when the simulator stands in for it."""
    return _limits.get(channel, _NO_LIMITS)


def get_channel(channel: str, environment: str) -> AvailableChannel:
    """Raises `UnknownChannel` and `ChannelNotAvailable`."""
    match channel:
        case "simulator":
            return _serve_simulator(environment)
        case "stripe":
            return _serve_stripe(environment)
    if channel not in _further:
        raise UnknownChannel(channel)
    return AvailableChannel(GuardedChannel(_further[channel], environment), sandbox=False)


def get_channel_of_payment(channel: str, environment: str, *, sandbox: bool) -> GuardedChannel:
    """Who serves a payment that exists: always the one that made it. What the simulator took in Stripe's place stays
    with it when Stripe is connected later, and is never asked about what Stripe took. Raises
    `UnknownChannel`."""
    if sandbox:
        return _serve_simulator(environment).channel
    try:
        served = get_channel(channel, environment)
    except ChannelNotAvailable:
        return _disconnected(channel, environment)
    if served.sandbox:
        return _disconnected(channel, environment)
    return served.channel


class _Disconnected:
    """Stands for a channel that made a payment and whose keys are gone: no call is made, and nobody else answers."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __getattr__(self, _operation: str) -> Callable[[object], NotProcessed]:
        return lambda _request: NotProcessed(f"{self.name} is not connected any more", is_channel_fault=False)


def _disconnected(channel: str, environment: str) -> GuardedChannel:
    return GuardedChannel(cast(Channel, _Disconnected(channel)), environment)


def _serve_simulator(environment: str) -> AvailableChannel:
    if environment != TEST:
        raise ChannelNotAvailable(SIMULATOR, environment, "the simulator moves no real money.")
    return AvailableChannel(GuardedChannel(_simulator, environment), sandbox=False)


def _serve_stripe(environment: str) -> AvailableChannel:
    if stripe_config.secret_key(environment):
        return AvailableChannel(GuardedChannel(_stripe, environment), sandbox=False)
    if environment == TEST:
        return AvailableChannel(GuardedChannel(_simulator, environment), sandbox=True)
    raise ChannelNotAvailable(STRIPE, environment, "STRIPE_LIVE_SECRET_KEY is not set.")


def is_down(channel: str, environment: str) -> bool:
    """The channel's circuit breaker is open. Raises `UnknownChannel` and `ChannelNotAvailable`."""
    return get_channel(channel, environment).channel.is_down


def get_webhook_channel(name: str) -> Channel:
    """Who may call `POST /webhooks/{name}`. Raises `UnknownChannel`."""
    match name:
        case "simulator":
            return _simulator
        case "stripe" if any(map(stripe_config.webhook_secrets, (TEST, LIVE))):
            return _stripe
    if name not in _further:
        raise UnknownChannel(name)
    return _further[name]
