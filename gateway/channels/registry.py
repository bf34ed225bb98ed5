"""Which channel serves a payment. Adding a channel is adding its module and a row here."""

from dataclasses import dataclass

from django.conf import settings

from gateway.channels.base import Channel
from gateway.channels.guard import GuardedChannel
from gateway.channels.simulator.channel import SimulatorChannel

SIMULATOR, STRIPE = "simulator", "stripe"
TEST, LIVE = "test", "live"

_simulator = SimulatorChannel()
# Channels that need no settings and serve both environments, by name.
_further: dict[str, Channel] = {}


class UnknownChannel(Exception):
    """There is no channel of this name."""

    def __init__(self, channel: str) -> None:
        super().__init__(f"There is no channel '{channel}'. Known are: {', '.join(channel_names())}.")
        self.channel = channel


class ChannelNotAvailable(Exception):
    """The channel exists and cannot serve this environment as the platform is set up."""

    def __init__(self, channel: str, environment: str, why: str) -> None:
        super().__init__(f"Channel '{channel}' is not available with {environment} keys: {why}")
        self.channel, self.environment, self.why = channel, environment, why


@dataclass(frozen=True, slots=True)
class Served:
    """`channel` is guarded by its circuit breaker. `sandbox`: the simulator stands in for the one asked for."""

    channel: GuardedChannel
    sandbox: bool


def channel_names() -> tuple[str, ...]:
    return (SIMULATOR, STRIPE, *_further)


def served_by(channel: str, environment: str) -> Served:
    """Raises `UnknownChannel` and `ChannelNotAvailable`."""
    match channel:
        case "simulator":
            return _serve_simulator(environment)
        case "stripe":
            return _serve_stripe(environment)
    if channel not in _further:
        raise UnknownChannel(channel)
    return Served(GuardedChannel(_further[channel], environment), sandbox=False)


def _serve_simulator(environment: str) -> Served:
    if environment != TEST:
        raise ChannelNotAvailable(SIMULATOR, environment, "the simulator moves no real money.")
    return Served(GuardedChannel(_simulator, environment), sandbox=False)


def _serve_stripe(environment: str) -> Served:
    if environment == TEST and not settings.STRIPE_SECRET_KEY:
        return Served(GuardedChannel(_simulator, environment), sandbox=True)
    raise ChannelNotAvailable(STRIPE, environment, "the connection to Stripe is not built yet.")


def is_down(channel: str, environment: str) -> bool:
    """The channel's circuit breaker is open. Raises `UnknownChannel` and `ChannelNotAvailable`."""
    return served_by(channel, environment).channel.is_down


def webhook_channel(name: str) -> Channel:
    """Who may call `POST /webhooks/{name}`. Raises `UnknownChannel`."""
    if name == SIMULATOR:
        return _simulator
    if name not in _further:
        raise UnknownChannel(name)
    return _further[name]
