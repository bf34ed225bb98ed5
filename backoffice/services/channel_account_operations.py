"""Staff actions on channel accounts: each calls the channel where needed, and then writes the audited change."""

import datetime as dt
import uuid
from collections.abc import Mapping

from django.db import transaction
from django.utils.translation import gettext as _

from audit.action_types import ObjectType, StaffActionType
from audit.recording import recording
from channel_accounts import audited_changes, connected_accounts, services
from channel_accounts.application_fees import ApplicationFee
from channel_accounts.models import AccountStatus, CredentialCheckResult, StoredChannelAccount
from channels.base import AccountKind
from common.errors import OperationRefused
from common.ids import uuid7
from gateway.selectors import has_attempts_with
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
    kind: AccountKind = AccountKind.OWN,
) -> StoredChannelAccount:
    """Without `merchant_email`, adds an account of the platform. A connected account always belongs to a merchant.

    Raises `OperationRefused`, and what the service raises.
    """
    merchant = Merchant.objects.filter(email=merchant_email).first() if merchant_email else None
    if merchant_email and merchant is None:
        raise OperationRefused(_("There is no merchant with the e-mail %s.") % merchant_email)
    if kind == AccountKind.CONNECTED and merchant is None:
        raise OperationRefused(_("A connected account belongs to a merchant: enter the merchant's e-mail."))
    checked = services.check_new_credentials(
        channel=channel,
        environment=environment,
        credentials=credentials,
        save_unchecked=save_unchecked,
        kind=kind,
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


def change_connected_account(
    *,
    account: StoredChannelAccount,
    credentials: Mapping[str, object],
    save_unchecked: bool,
    actor: str,
    reason: str,
) -> None:
    """Corrects the number of a connected account that is disabled and has no payment.

    Raises `OperationRefused`, and what the service raises.
    """
    checked = services.check_new_credentials(
        channel=account.channel,
        environment=account.environment,
        credentials=credentials,
        save_unchecked=save_unchecked,
        kind=AccountKind.CONNECTED,
    )
    with recording(
        StaffActionType.CHANNEL_ACCOUNT_CHANGE,
        ObjectType.CHANNEL_ACCOUNT,
        account.pk,
        actor=actor,
        reason=reason,
    ) as entry:
        # FOR UPDATE: no payment that refers to the account is inserted meanwhile.
        row = StoredChannelAccount.objects.select_for_update().get(pk=account.pk)
        if row.status != AccountStatus.DISABLED:
            raise OperationRefused(_("Disable the account first."))
        if has_attempts_with(row.channel, row.pk, since=row.created_at):
            raise OperationRefused(
                _("The account has payments, which stay with it. Disable it and add another account.")
            )
        entry.before = {"account_no": row.account_no}
        changed = connected_accounts.change_connected_account(account_id=row.pk, checked=checked)
        entry.after = {"account_no": changed.account_no, "last_check_result": changed.last_check_result}


def set_application_fee(
    *,
    account: StoredChannelAccount,
    fee: ApplicationFee,
    returns_fee_on_refund: bool,
    actor: str,
    reason: str,
) -> None:
    with recording(
        StaffActionType.CHANNEL_ACCOUNT_FEE,
        ObjectType.CHANNEL_ACCOUNT,
        account.pk,
        actor=actor,
        reason=reason,
    ) as entry:
        row = StoredChannelAccount.objects.select_for_update(no_key=True).get(pk=account.pk)
        entry.before = _describe_fee(row)
        entry.after = _describe_fee(
            connected_accounts.set_application_fee(
                account_id=row.pk, fee=fee, returns_fee_on_refund=returns_fee_on_refund
            )
        )


def check_account(*, account: StoredChannelAccount, actor: str, reason: str) -> CredentialCheckResult:
    checked = services.check_stored_credentials(account=account)
    audited_changes.record_check(account_id=account.pk, checked=checked, actor=actor, reason=reason)
    return checked.result


@transaction.atomic
def set_account_status(*, account_id: uuid.UUID, status: AccountStatus, actor: str, reason: str) -> None:
    """Raises `OperationRefused` when the account has this status already."""
    if services.lock_account(account_id).status == status:
        raise OperationRefused(_("This has been done already. Reload the page."))
    audited_changes.set_account_status(account_id=account_id, status=status, actor=actor, reason=reason)


def _describe_fee(account: StoredChannelAccount) -> dict[str, object]:
    return {
        "fee_basis_points": account.fee_basis_points,
        "fee_fixed_minor": account.fee_fixed_minor,
        "returns_fee_on_refund": account.returns_fee_on_refund,
    }
