"""Changes of channel accounts with their entries in the audit log: those of staff, and those of merchants over the API.

Each is one transaction. The entries have no credentials.
"""

import datetime as dt
import uuid
from collections.abc import Callable, Sequence

from django.db import transaction

from audit.action_types import ObjectType, StaffActionType
from audit.recording import recording
from channel_accounts import services
from channel_accounts.models import AccountStatus, StoredChannelAccount
from channel_accounts.services import CheckedCredentials

STATUS_ACTIONS = {
    AccountStatus.DISABLED: StaffActionType.CHANNEL_ACCOUNT_DISABLE,
    AccountStatus.ACTIVE: StaffActionType.CHANNEL_ACCOUNT_ENABLE,
}


def format_api_key_actor(key_id: uuid.UUID) -> str:
    """Returns the actor of a change over the API. User names of staff have no colon."""
    return f"api_key:{key_id}"


def create_account(
    *,
    merchant_id: uuid.UUID | None,
    environment: str,
    channel: str,
    display_name: str,
    checked: CheckedCredentials,
    payment_methods: Sequence[str] = (),
    account_id: uuid.UUID,
    actor: str,
    reason: str = "",
) -> StoredChannelAccount:
    """Raises `TooManyAccounts`, `ValidationFailed`."""
    with recording(
        StaffActionType.CHANNEL_ACCOUNT_CREATE,
        ObjectType.CHANNEL_ACCOUNT,
        account_id,
        actor=actor,
        reason=reason,
    ) as entry:
        account = services.create_account(
            merchant_id=merchant_id,
            environment=environment,
            channel=channel,
            display_name=display_name,
            checked=checked,
            payment_methods=payment_methods,
            account_id=account_id,
        )
        entry.after = _describe(account)
    return account


def update_account(
    *,
    account_id: uuid.UUID,
    display_name: str | None = None,
    payment_methods: Sequence[str] | None = None,
    actor: str,
    reason: str = "",
) -> StoredChannelAccount:
    """Raises `ValidationFailed`."""
    return _record_change(
        StaffActionType.CHANNEL_ACCOUNT_UPDATE,
        lambda: services.update_account(
            account_id=account_id, display_name=display_name, payment_methods=payment_methods
        ),
        account_id=account_id,
        actor=actor,
        reason=reason,
    )


def rotate_credentials(
    *,
    account_id: uuid.UUID,
    checked: CheckedCredentials,
    overlap: dt.timedelta,
    actor: str,
    reason: str = "",
) -> StoredChannelAccount:
    return _record_change(
        StaffActionType.CHANNEL_ACCOUNT_ROTATE,
        lambda: services.rotate_credentials(account_id=account_id, checked=checked, overlap=overlap),
        account_id=account_id,
        actor=actor,
        reason=reason,
    )


def record_check(
    *, account_id: uuid.UUID, checked: CheckedCredentials, actor: str, reason: str = ""
) -> StoredChannelAccount:
    return _record_change(
        StaffActionType.CHANNEL_ACCOUNT_CHECK,
        lambda: services.record_check(account_id=account_id, checked=checked),
        account_id=account_id,
        actor=actor,
        reason=reason,
    )


def _record_change(
    action: StaffActionType,
    change: Callable[[], StoredChannelAccount],
    *,
    account_id: uuid.UUID,
    actor: str,
    reason: str,
) -> StoredChannelAccount:
    """Locks the account and records it before and after the change."""
    with recording(action, ObjectType.CHANNEL_ACCOUNT, account_id, actor=actor, reason=reason) as entry:
        entry.before = _describe(services.lock_account(account_id))
        account = change()
        entry.after = _describe(account)
    return account


@transaction.atomic
def set_account_status(
    *, account_id: uuid.UUID, status: AccountStatus, actor: str, reason: str = ""
) -> StoredChannelAccount:
    """Records nothing for an account that has this status already."""
    row = services.lock_account(account_id)
    if row.status == status:
        return row
    with recording(
        STATUS_ACTIONS[status], ObjectType.CHANNEL_ACCOUNT, account_id, actor=actor, reason=reason
    ) as entry:
        entry.before = {"status": row.status}
        account = services.set_account_status(account_id=account_id, status=status)
        entry.after = {"status": account.status}
    return account


def _describe(account: StoredChannelAccount) -> dict[str, str | list[str] | None]:
    until = account.previous_credentials_until
    return {
        "channel": account.channel,
        "environment": account.environment,
        "merchant": str(account.merchant_id) if account.merchant_id else None,
        "display_name": account.display_name,
        "kind": account.kind,
        "account_no": account.account_no,
        "payment_methods": account.payment_methods,
        "status": account.status,
        "last_check_result": account.last_check_result,
        "previous_credentials_until": until.isoformat() if until else None,
    }
