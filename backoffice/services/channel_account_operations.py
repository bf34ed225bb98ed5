"""Staff actions on channel accounts: each calls the channel where needed, and then writes the audited change."""

import datetime as dt
import uuid
from collections.abc import Mapping

from django.db import transaction
from django.utils.translation import gettext as _

from channel_accounts import audited_changes, services
from channel_accounts.models import AccountStatus, CheckResult, StoredChannelAccount
from common.errors import OperationRefused
from common.ids import uuid7
from merchants.models import Merchant


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
    return audited_changes.create_account(
        merchant_id=merchant.pk if merchant else None,
        environment=environment,
        channel=channel,
        display_name=display_name,
        checked=checked,
        account_id=uuid7(),
        actor=actor,
        reason=reason,
    )


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
    audited_changes.rotate_credentials(
        account_id=account.pk, checked=checked, overlap=overlap, actor=actor, reason=reason
    )


def check_account(*, account: StoredChannelAccount, actor: str, reason: str) -> CheckResult:
    checked = services.check_stored_credentials(account=account)
    audited_changes.record_check(account_id=account.pk, checked=checked, actor=actor, reason=reason)
    return checked.result


@transaction.atomic
def set_account_status(*, account_id: uuid.UUID, status: AccountStatus, actor: str, reason: str) -> None:
    """Raises `OperationRefused` when the account has this status already."""
    if services.lock_account(account_id).status == status:
        raise OperationRefused(_("This has been done already. Reload the page."))
    audited_changes.set_account_status(account_id=account_id, status=status, actor=actor, reason=reason)
