"""Rows of channel accounts, added without a check at the channel."""

from typing import Any

from channel_accounts import services
from channel_accounts.models import CredentialCheckResult, StoredChannelAccount
from channel_accounts.services import CheckedCredentials
from common.ids import uuid7
from merchants.services import NewMerchant


def add_account(
    merchant: NewMerchant | None,
    channel: str,
    *,
    environment: str = "test",
    credentials: dict[str, str] | None = None,
    **changes: Any,
) -> StoredChannelAccount:
    """Adds an account of the merchant; None: of the platform."""
    return services.create_account(
        merchant_id=merchant.merchant.pk if merchant else None,
        environment=environment,
        channel=channel,
        display_name="Shop",
        checked=CheckedCredentials(CredentialCheckResult.ACCEPTED, "", "", credentials or {}),
        account_id=uuid7(),
        **changes,
    )
