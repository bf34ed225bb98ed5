"""Changes what only connected accounts have: number at the channel, application fee, end of the connection."""

import uuid

from django.db import IntegrityError, transaction

from channel_accounts.application_fees import ApplicationFee
from channel_accounts.credentials import seal_credentials
from channel_accounts.models import AccountDisabledReason, AccountStatus, StoredChannelAccount
from channel_accounts.services import (
    CheckedCredentials,
    announce_change,
    build_already_connected_error,
    lock_account,
)
from channels.base import AccountKind
from common.clock import database_now
from common.db import violates


@transaction.atomic
def change_connected_account(*, account_id: uuid.UUID, checked: CheckedCredentials) -> StoredChannelAccount:
    """Gives a disabled account another number. The caller has made sure that it has no payment: a payment stays with
    the account at the channel that took it.

    Raises `ValidationFailed` when the number belongs to another account.
    """
    row = lock_account(account_id)
    if (row.kind, checked.kind) != (AccountKind.CONNECTED, AccountKind.CONNECTED):
        raise ValueError("not a connected account")
    row.sealed_credentials, row.account_no = seal_credentials(checked.credentials), checked.account_no
    row.last_checked_at = row.updated_at = database_now()
    row.last_check_result, row.last_check_details = checked.result, checked.details
    row.disabled_reason = ""
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError as error:
        if violates(error, "channel_account_connected_once"):
            raise build_already_connected_error(checked) from error
        raise
    return announce_change(row, "connected_account_changed")


@transaction.atomic
def set_application_fee(
    *, account_id: uuid.UUID, fee: ApplicationFee, returns_fee_on_refund: bool
) -> StoredChannelAccount:
    """For payments that begin from now on; `returns_fee_on_refund` for refunds that do."""
    row = lock_account(account_id)
    row.fee_basis_points, row.fee_fixed_minor = fee.basis_points, dict(fee.fixed_minor)
    row.returns_fee_on_refund, row.updated_at = returns_fee_on_refund, database_now()
    row.save(update_fields=["fee_basis_points", "fee_fixed_minor", "returns_fee_on_refund", "updated_at"])
    return announce_change(row, "application_fee_set")


@transaction.atomic
def record_disconnection(*, account_id: uuid.UUID) -> bool:
    """Disables an account whose owner has ended the connection. False when that is known already."""
    row = lock_account(account_id)
    if row.disabled_reason:
        return False
    row.status, row.disabled_reason = AccountStatus.DISABLED, AccountDisabledReason.DISCONNECTED
    row.updated_at = database_now()
    row.save(update_fields=["status", "disabled_reason", "updated_at"])
    announce_change(row, "disconnected")
    return True
