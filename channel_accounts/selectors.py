"""Reads channel accounts. A function that takes a `principal` reads within its merchant and environment."""

import uuid

from django.db.models import Q, QuerySet

from channel_accounts.models import StoredChannelAccount
from channels.base import AccountKind
from common.errors import NotFound
from merchants.principal import Principal


def get_accounts(principal: Principal) -> QuerySet[StoredChannelAccount]:
    return StoredChannelAccount.objects.filter(
        merchant_id=principal.merchant_id, environment=principal.environment
    )


def get_account(principal: Principal, account_id: uuid.UUID) -> StoredChannelAccount:
    """Raises `NotFound`."""
    account = get_accounts(principal).filter(id=account_id).first()
    if account is None:
        raise NotFound({"id": str(account_id)})
    return account


def get_accounts_at(*, merchant_id: uuid.UUID, environment: str, channel: str) -> list[StoredChannelAccount]:
    """The merchant's accounts at the channel and those of the platform, newest first, disabled ones included."""
    accounts = StoredChannelAccount.objects.filter(
        Q(merchant_id=merchant_id) | Q(merchant=None), environment=environment, channel=channel
    )
    return list(accounts.order_by("-id"))


def find_account(account_id: uuid.UUID) -> StoredChannelAccount | None:
    return StoredChannelAccount.objects.filter(id=account_id).first()


def find_account_by_token(channel: str, token: str) -> StoredChannelAccount | None:
    return StoredChannelAccount.objects.filter(channel=channel, webhook_token=token).first()


def find_connected_account(*, channel: str, environment: str, account_no: str) -> StoredChannelAccount | None:
    return StoredChannelAccount.objects.filter(
        kind=AccountKind.CONNECTED, channel=channel, environment=environment, account_no=account_no
    ).first()


def get_accounts_of_channel(channel: str) -> QuerySet[StoredChannelAccount]:
    """The accounts of all merchants, and those of the platform, oldest first."""
    return StoredChannelAccount.objects.filter(channel=channel).order_by("id")
