"""Channel accounts as the API shows them, without credentials."""

from typing import Any

from channel_accounts.loaded_accounts import build_webhook_url
from channel_accounts.models import StoredChannelAccount
from common.clock import rfc3339


def account_body(account: StoredChannelAccount) -> dict[str, Any]:
    return {
        "id": str(account.id),
        "channel": account.channel,
        "environment": account.environment,
        "kind": account.kind,
        "display_name": account.display_name,
        "account_no": account.account_no or None,
        "payment_methods": account.payment_methods,
        "status": account.status,
        "disabled_reason": account.disabled_reason or None,
        "webhook_url": build_webhook_url(account),
        "previous_credentials_until": rfc3339(account.previous_credentials_until),
        "last_checked_at": rfc3339(account.last_checked_at),
        "last_check_result": account.last_check_result or None,
        "last_check_details": account.last_check_details,
        "created_at": rfc3339(account.created_at),
        "updated_at": rfc3339(account.updated_at),
    }
