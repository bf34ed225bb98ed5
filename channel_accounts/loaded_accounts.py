"""Accounts as channels receive them, with their credentials in the clear, cached in this process for a few seconds.

The hot path reads an account several times for each payment, and in most seconds costs no statement for it. A write of
this process clears the cache when it commits. Other processes see a write `CACHE_SECONDS` later: until then they may
send a new payment to an account that was just disabled, or use the credentials from before a rotation.
"""

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from django.conf import settings
from django.utils import timezone

from channel_accounts import selectors
from channel_accounts.application_fees import ApplicationFee
from channel_accounts.credentials import unseal_credentials
from channel_accounts.models import AccountStatus, StoredChannelAccount
from channels.base import AccountKind, ChannelAccount
from channels.registry import CONNECT_WEBHOOK_TOKEN, WEBHOOK_PATH

CACHE_SECONDS = 5.0
MAX_CACHED = 10_000

T = TypeVar("T")


class UnknownAccount(Exception):
    """There is no account with this id or token."""


@dataclass(frozen=True, slots=True)
class LoadedAccount:
    """`payment_methods` are the enabled ones; empty: all that the channel offers."""

    account: ChannelAccount
    channel: str
    merchant_id: uuid.UUID | None
    is_active: bool
    display_name: str
    payment_methods: tuple[str, ...]
    application_fee: ApplicationFee = field(default_factory=ApplicationFee)
    returns_fee_on_refund: bool = False

    def is_method_enabled(self, payment_method: str) -> bool:
        return not self.payment_methods or payment_method in self.payment_methods

    @property
    def id(self) -> uuid.UUID:
        assert self.account.id is not None
        return self.account.id


class _Cache:
    """Loads once for each key and period. The lock is not held while a value is loaded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[tuple[Any, ...], tuple[float, Any]] = {}
        self._generation = 0

    def get(self, key: tuple[Any, ...], load: Callable[[], T]) -> T:
        now = time.monotonic()
        with self._lock:
            generation = self._generation
            valid_until, value = self._values.get(key, (0.0, None))
        if now < valid_until:
            return cast(T, value)
        loaded = load()
        with self._lock:
            # Not kept: what was read before a write of this process committed, and what does not exist, so that nobody
            # fills the memory with guessed tokens.
            if generation == self._generation and loaded is not None:
                if len(self._values) >= MAX_CACHED:
                    self._values.clear()
                self._values[key] = (now + CACHE_SECONDS, loaded)
        return loaded

    def clear(self) -> None:
        with self._lock:
            self._generation += 1
            self._values.clear()


_cache = _Cache()
clear_cache = _cache.clear


def load_account(account_id: uuid.UUID) -> LoadedAccount:
    """Also a disabled account: its payments are still served. Raises `UnknownAccount`."""
    loaded = _cache.get(("id", account_id), lambda: _load(selectors.find_account(account_id)))
    if loaded is None:
        raise UnknownAccount(str(account_id))
    return loaded


def find_account_by_webhook_token(channel: str, token: str) -> LoadedAccount | None:
    """Also a disabled account: its payments are still served."""
    account_id = _cache.get(("token", channel, token), lambda: _find_id(channel, token)) if token else None
    return load_account(account_id) if account_id else None


def find_connected_account(channel: str, environment: str, account_no: str) -> LoadedAccount | None:
    """Also a disabled account: its payments are still served."""
    row = selectors.find_connected_account(channel=channel, environment=environment, account_no=account_no)
    return load_account(row.id) if row else None


def list_accounts_at(
    *, merchant_id: uuid.UUID, environment: str, channel: str
) -> tuple[tuple[LoadedAccount, ...], tuple[LoadedAccount, ...]]:
    """The merchant's own accounts, and those that the platform has added. Newest first, disabled ones included."""
    return _cache.get(
        ("for", merchant_id, environment, channel),
        lambda: _load_accounts_at(merchant_id, environment, channel),
    )


def to_channel_account(row: StoredChannelAccount) -> ChannelAccount:
    is_overlapping = (
        row.previous_credentials_until is not None and timezone.now() < row.previous_credentials_until
    )
    return ChannelAccount(
        environment=row.environment,
        id=row.id,
        credentials=unseal_credentials(row.sealed_credentials),
        previous_credentials=unseal_credentials(row.previous_sealed_credentials) if is_overlapping else {},
        webhook_url=build_webhook_url(row),
    )


def build_webhook_url(row: StoredChannelAccount) -> str:
    """A connected account has no address of its own: its webhooks come to the platform's."""
    if row.kind == AccountKind.CONNECTED:
        return f"{settings.PUBLIC_BASE_URL}{WEBHOOK_PATH}/{row.channel}/{CONNECT_WEBHOOK_TOKEN}"
    return f"{settings.PUBLIC_BASE_URL}{WEBHOOK_PATH}/{row.channel}/{row.webhook_token}"


def _load(row: StoredChannelAccount | None) -> LoadedAccount | None:
    if row is None:
        return None
    return LoadedAccount(
        account=to_channel_account(row),
        channel=row.channel,
        merchant_id=row.merchant_id,
        is_active=row.status == AccountStatus.ACTIVE,
        display_name=row.display_name,
        payment_methods=tuple(row.payment_methods),
        application_fee=row.application_fee,
        returns_fee_on_refund=row.returns_fee_on_refund,
    )


def _find_id(channel: str, token: str) -> uuid.UUID | None:
    row = selectors.find_account_by_token(channel, token)
    return row.id if row else None


def _load_accounts_at(
    merchant_id: uuid.UUID, environment: str, channel: str
) -> tuple[tuple[LoadedAccount, ...], tuple[LoadedAccount, ...]]:
    """The merchant's own accounts, and those of the platform."""
    rows = selectors.get_accounts_at(merchant_id=merchant_id, environment=environment, channel=channel)
    loaded = [each for row in rows if (each := _load(row)) is not None]
    own = tuple(each for each in loaded if each.merchant_id == merchant_id)
    return own, tuple(each for each in loaded if each.merchant_id is None)
