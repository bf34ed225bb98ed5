"""Channels with the account that serves a payment. An account id of None is the platform's own account."""

import uuid

from django.conf import settings

from channel_accounts import selectors
from channel_accounts.loaded_accounts import (
    find_account_by_webhook_token,
    find_connected_account,
    list_accounts_at,
    load_account,
    to_channel_account,
)
from channels import registry
from channels.guard import GuardedChannel
from channels.registry import AvailableChannel


def choose_account(
    *, merchant_id: uuid.UUID, environment: str, channel: str, payment_method: str
) -> uuid.UUID | None:
    """The account for a new payment of the merchant; None: the platform's own.

    The merchant's newest active account for which the method is enabled. If the merchant has no accounts: such a one
    of those that the platform has added, else the platform's own.

    Where none of the merchant's accounts can take the payment, it is one of them all the same, which the caller then
    refuses: the money never goes to the platform's account because of that.
    """
    own, shared = list_accounts_at(merchant_id=merchant_id, environment=environment, channel=channel)
    if environment == "live" and not settings.HOLDS_MERCHANT_FUNDS:
        shared = ()  # money there would be held for the merchant
    active = [each for each in own or shared if each.is_active]
    fitting = [each for each in active if each.is_method_enabled(payment_method)]
    chosen = next(iter([*fitting, *active, *own] if own else fitting), None)
    return chosen.id if chosen else None


def get_channel_for_attempt(name: str, environment: str, account_id: uuid.UUID | None) -> AvailableChannel:
    """The channel that serves a new attempt. A sandbox never takes the place of an account that was added.

    Raises `UnknownChannel`, and `ChannelNotAvailable` for the platform's own account.
    """
    if account_id is None:
        return registry.get_channel(name, environment)
    account = load_account(account_id).account
    return AvailableChannel(registry.get_channel_with_account(name, account), sandbox=False)


def get_channel_of_payment(
    name: str, environment: str, *, sandbox: bool, account_id: uuid.UUID | None
) -> GuardedChannel:
    """The channel that made an existing payment, with the account that it was made with, and never another one.

    Raises `UnknownChannel`.
    """
    if account_id is None:
        return registry.get_channel_of_payment(name, environment, sandbox=sandbox)
    return registry.get_channel_with_account(name, load_account(account_id).account)


def is_down(name: str, environment: str, account_id: uuid.UUID | None) -> bool:
    """Whether the circuit breaker of the account is open. Raises as `get_channel_for_attempt`."""
    return get_channel_for_attempt(name, environment, account_id).channel.is_down


def get_channels_of_accounts(name: str) -> list[GuardedChannel]:
    """The channel with each account that was added to it, disabled ones included. Raises `UnknownChannel`."""
    rows = selectors.get_accounts_of_channel(name)
    return [registry.get_channel_with_account(name, to_channel_account(row)) for row in rows]


def find_webhook_channel(name: str, token: str) -> GuardedChannel | None:
    """The channel with the account that has this token; None for an unknown one. Also for a disabled account: its
    payments are still reported. Raises `UnknownChannel`."""
    loaded = find_account_by_webhook_token(name, token)
    return registry.get_channel_with_account(name, loaded.account) if loaded else None


def find_connected_channel(verified_by: GuardedChannel, account_no: str) -> GuardedChannel | None:
    """The channel with the connected account of this number; None for an unknown one. `verified_by` is the platform's
    own account, which has verified the webhook: no other account may choose one."""
    if verified_by.account.id is not None:
        raise ValueError("only the platform's own account names connected accounts")
    loaded = find_connected_account(verified_by.name, verified_by.account.environment, account_no)
    return registry.get_channel_with_account(verified_by.name, loaded.account) if loaded else None
