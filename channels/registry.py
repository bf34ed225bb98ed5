"""The channels of this installation, as the setting CHANNELS lists them, and which of them serves a payment."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

from django.conf import settings
from django.utils.module_loading import import_string

from channels.base import (
    LIVE,
    TEST,
    Channel,
    ChannelAccount,
    ChannelCapabilities,
    CredentialCheck,
    CredentialField,
    EvidenceRules,
    NotProcessed,
)
from channels.guard import GuardedChannel
from common.external_calls import release_while_waiting

NO_CAPABILITIES = ChannelCapabilities(methods=())
NO_EVIDENCE = EvidenceRules({}, frozenset(), frozenset(), max_text_characters=0, max_bytes=0, max_pages=0)
WEBHOOK_PATH = "/api/v1/webhooks"
# The last part of the address of webhooks about accounts that are connected to the platform's own.
CONNECT_WEBHOOK_TOKEN = "connect"  # noqa: S105 (no secret)

_instances: dict[str, Channel] = {}  # by the dotted path of the class


class UnknownChannel(Exception):
    """There is no channel of this name."""

    def __init__(self, channel: str) -> None:
        super().__init__(f"There is no channel '{channel}'. Known are: {', '.join(list_channel_names())}.")
        self.channel = channel


class ChannelNotAvailable(Exception):
    """The channel exists and cannot serve this environment as the platform is set up."""

    def __init__(self, channel: str, environment: str, reason: str) -> None:
        super().__init__(f"Channel '{channel}' is not available with {environment} keys: {reason}")
        self.channel, self.environment, self.reason = channel, environment, reason


@dataclass(frozen=True, slots=True)
class AvailableChannel:
    """`sandbox`: the sandbox channel serves in place of the one that was asked for."""

    channel: GuardedChannel
    sandbox: bool


def list_channel_names() -> tuple[str, ...]:
    return tuple(_channels())


def get_platform_account(name: str, environment: str) -> ChannelAccount:
    """Returns the platform's own account at a channel. Raises `UnknownChannel`."""
    return _build_platform_account(_find_channel(name), environment)


def get_channel(name: str, environment: str) -> AvailableChannel:
    """Returns the channel that serves a new payment, with the platform's own account.

    With test keys, the sandbox channel serves in place of a channel that is not set up.
    Raises `UnknownChannel` and `ChannelNotAvailable`.
    """
    channel = _find_channel(name)
    unavailable_reason = channel.get_unavailable_reason(environment)
    if unavailable_reason is None:
        return AvailableChannel(_guard(channel, environment), sandbox=False)
    sandbox = _find_sandbox()
    if environment == TEST and sandbox is not None:
        return AvailableChannel(_guard(sandbox, environment), sandbox=True)
    raise ChannelNotAvailable(name, environment, unavailable_reason)


def get_channel_of_payment(name: str, environment: str, *, sandbox: bool) -> GuardedChannel:
    """Returns the channel that made an existing payment, and never another one.

    A payment that the sandbox channel made in place of `name` (`sandbox`) stays with it when `name` is set up later.
    A channel that is no longer set up processes no call. Raises `UnknownChannel`.
    """
    channel: Channel | None
    if sandbox:
        channel = _find_sandbox()
    else:
        channel = _find_channel(name)
        if channel.get_unavailable_reason(environment) is not None:
            channel = None
    return _guard(channel or cast(Channel, _DisconnectedChannel(name)), environment)


def get_channel_with_account(name: str, account: ChannelAccount) -> GuardedChannel:
    """Returns the channel for an account that was added, not the platform's own one. Raises `UnknownChannel`."""
    return GuardedChannel(_find_channel(name), account)


def get_credential_fields(name: str) -> tuple[CredentialField, ...]:
    """Returns what an account consists of; nothing where only the platform has one. Raises `UnknownChannel`."""
    return _find_channel(name).credential_fields


def check_credentials(name: str, account: ChannelAccount, timeout_seconds: float) -> CredentialCheck:
    """Checks credentials with a call that changes nothing. Past the circuit breaker, which is for accounts in use.

    Raises `UnknownChannel`.
    """
    channel = _find_channel(name)
    with release_while_waiting():
        return channel.check_credentials(account, timeout_seconds)


def get_webhook_channels(name: str) -> list[GuardedChannel]:
    """Returns the channel with each of the platform's own accounts that can verify a call of `POST /webhooks/{name}`:
    the address does not say for which environment the webhook is. Raises `UnknownChannel`."""
    channel = _find_channel(name)
    accounts = [_build_platform_account(channel, environment) for environment in (LIVE, TEST)]
    channels = [GuardedChannel(channel, each) for each in accounts if channel.can_receive_webhooks(each)]
    if not channels:
        raise UnknownChannel(name)
    return channels


def get_capabilities(name: str) -> ChannelCapabilities:
    """Returns what a channel can do, which also holds where the sandbox channel serves in its place."""
    channel = _channels().get(name)
    return channel.capabilities if channel else NO_CAPABILITIES


def is_sandbox_channel(name: str) -> bool:
    channel = _channels().get(name)
    return channel is not None and channel.is_sandbox


def is_down(name: str, environment: str) -> bool:
    """Whether the channel's circuit breaker is open. Raises `UnknownChannel` and `ChannelNotAvailable`."""
    return get_channel(name, environment).channel.is_down


def _channels() -> dict[str, Channel]:
    """All channels by name, in the order of the setting."""
    return {channel.name: channel for channel in map(_get_instance, settings.CHANNELS)}


def _get_instance(path: str) -> Channel:
    if path not in _instances:
        _instances[path] = import_string(path)()
    return _instances[path]


def _find_channel(name: str) -> Channel:
    channel = _channels().get(name)
    if channel is None:
        raise UnknownChannel(name)
    return channel


def _build_platform_account(channel: Channel, environment: str) -> ChannelAccount:
    return ChannelAccount(
        environment,
        credentials=channel.get_platform_credentials(environment),
        webhook_url=f"{settings.PUBLIC_BASE_URL}{WEBHOOK_PATH}/{channel.name}",
    )


def _guard(channel: Channel, environment: str) -> GuardedChannel:
    return GuardedChannel(channel, _build_platform_account(channel, environment))


def _find_sandbox() -> Channel | None:
    return next((channel for channel in _channels().values() if channel.is_sandbox), None)


class _DisconnectedChannel:
    """Takes the place of a channel that made a payment and is no longer set up: it processes no call."""

    capabilities = NO_CAPABILITIES

    def __init__(self, name: str) -> None:
        self.name = name
        self.disputes = _DisconnectedDisputes(name)

    def get_platform_credentials(self, _environment: str) -> Mapping[str, str]:
        return {}

    def moves_real_money(self, account: ChannelAccount) -> bool:
        return account.environment == LIVE

    def __getattr__(self, _operation: str) -> Callable[[object], NotProcessed]:
        return lambda _request: _refuse_call(self.name)


class _DisconnectedDisputes:
    """Its disputes: an answer that is being submitted waits, and a new one is not taken."""

    rules = NO_EVIDENCE

    def __init__(self, channel: str) -> None:
        self._channel = channel

    def __getattr__(self, _operation: str) -> Callable[[object], NotProcessed]:
        return lambda _request: _refuse_call(self._channel)


def _refuse_call(channel: str) -> NotProcessed:
    return NotProcessed(f"{channel} is not connected any more", is_channel_fault=False)
