"""Staff actions on channel accounts, each in one transaction with its audit log entry, which has no credentials."""

import datetime as dt
import uuid
from collections.abc import Mapping

from django.utils.translation import gettext as _

from audit.action_types import ObjectType, StaffActionType
from audit.recording import recording
from channel_accounts import services
from channel_accounts.models import AccountStatus, CheckResult, StoredChannelAccount
from common.errors import OperationRefused
from common.ids import uuid7
from merchants.models import Merchant

STATUS_ACTIONS = {
    AccountStatus.DISABLED: StaffActionType.CHANNEL_ACCOUNT_DISABLE,
    AccountStatus.ACTIVE: StaffActionType.CHANNEL_ACCOUNT_ENABLE,
}


def create_account(
    *,
    channel: str,
    environment: str,
    merchant_email: str,
    display_name: str,
    credentials: Mapping[str, object],
    save_unchecked: bool,
    actor: str,
    reason: str,
) -> StoredChannelAccount:
    """Without `merchant_email`, adds an account of the platform.

    Raises `OperationRefused`, and what the service raises.
    """
    merchant = Merchant.objects.filter(email=merchant_email).first() if merchant_email else None
    if merchant_email and merchant is None:
        raise OperationRefused(_("There is no merchant with the e-mail %s.") % merchant_email)
    checked = services.check_new_credentials(
        channel=channel,
        environment=environment,
        credentials=credentials,
        save_unchecked=save_unchecked,
    )
    with recording(
        StaffActionType.CHANNEL_ACCOUNT_CREATE, ObjectType.CHANNEL_ACCOUNT, actor=actor, reason=reason
    ) as entry:
        account = services.create_account(
            merchant_id=merchant.pk if merchant else None,
            environment=environment,
            channel=channel,
            display_name=display_name,
            checked=checked,
            account_id=uuid7(),
        )
        entry.object_id, entry.after = str(account.id), _describe(account)
    return account


def rotate_credentials(
    *,
    account: StoredChannelAccount,
    credentials: Mapping[str, object],
    overlap: dt.timedelta,
    save_unchecked: bool,
    actor: str,
    reason: str,
) -> None:
    checked = services.check_new_credentials(
        channel=account.channel,
        environment=account.environment,
        credentials=credentials,
        save_unchecked=save_unchecked,
    )
    with recording(
        StaffActionType.CHANNEL_ACCOUNT_ROTATE,
        ObjectType.CHANNEL_ACCOUNT,
        account.pk,
        actor=actor,
        reason=reason,
        before=_describe(account),
    ) as entry:
        entry.after = _describe(
            services.rotate_credentials(account_id=account.pk, checked=checked, overlap=overlap)
        )


def check_account(*, account: StoredChannelAccount, actor: str, reason: str) -> CheckResult:
    checked = services.check_stored_credentials(account=account)
    with recording(
        StaffActionType.CHANNEL_ACCOUNT_CHECK,
        ObjectType.CHANNEL_ACCOUNT,
        account.pk,
        actor=actor,
        reason=reason,
        before=_describe(account),
    ) as entry:
        entry.after = _describe(services.record_check(account_id=account.pk, checked=checked))
    return checked.result


def set_account_status(*, account_id: uuid.UUID, status: AccountStatus, actor: str, reason: str) -> None:
    """Raises `OperationRefused` when the account has this status already."""
    with recording(
        STATUS_ACTIONS[status], ObjectType.CHANNEL_ACCOUNT, account_id, actor=actor, reason=reason
    ) as entry:
        row = StoredChannelAccount.objects.select_for_update(no_key=True).get(pk=account_id)
        if row.status == status:
            raise OperationRefused(_("This has been done already. Reload the page."))
        entry.before = {"status": row.status}
        services.set_account_status(account_id=account_id, status=status)
        entry.after = {"status": status.value}


def _describe(account: StoredChannelAccount) -> dict[str, str | None]:
    until = account.previous_credentials_until
    return {
        "channel": account.channel,
        "environment": account.environment,
        "merchant": str(account.merchant_id) if account.merchant_id else None,
        "display_name": account.display_name,
        "status": account.status,
        "last_check_result": account.last_check_result,
        "previous_credentials_until": until.isoformat() if until else None,
    }
