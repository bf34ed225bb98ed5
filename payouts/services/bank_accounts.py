"""Changes of merchants' bank accounts: requested by one person, approved by a second one, usable after a pause.

A changed account is how payouts are stolen. So a request alone already stops payouts in its currency."""

import datetime as dt
import uuid
from collections.abc import Mapping

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from audit.action_types import ObjectType, StaffActionType
from audit.recording import recording
from common.clock import database_now
from common.db import violates
from common.dual_control import FindConflict
from common.errors import NotPermitted, UnknownObject
from payouts.bank_details import require_known_currency, seal_bank_details, validate_bank_details
from payouts.models import BankAccount, BankAccountStatus
from payouts.services.runs import require_funds_held


def request_bank_account(
    *,
    merchant_id: uuid.UUID,
    environment: str,
    currency: str,
    details: Mapping[str, str],
    actor: str,
    reason: str,
) -> BankAccount:
    """Raises `FieldsRefused`, and `NotPermitted` while another one awaits approval."""
    require_funds_held()
    checked = validate_bank_details(details)
    require_known_currency(currency, checked.kind)
    account = BankAccount(
        merchant_id=merchant_id,
        environment=environment,
        currency=currency,
        kind=checked.kind,
        sealed_details=seal_bank_details(checked),
        hint=checked.hint,
        requested_by=actor,
    )
    with recording(
        StaffActionType.BANK_ACCOUNT_REQUEST,
        ObjectType.BANK_ACCOUNT,
        account.id,
        actor=actor,
        reason=reason,
    ) as entry:
        _lock_active(account)
        try:
            with transaction.atomic():
                account.save(force_insert=True)
        except IntegrityError as error:
            if not violates(error, "bank_account_one_awaiting"):
                raise
            raise NotPermitted(_("Another bank account in this currency awaits approval.")) from error
        entry.after = _describe(account)
    return account


def approve_bank_account(
    *, account_id: uuid.UUID, actor: str, reason: str, find_conflict: FindConflict
) -> BankAccount:
    """Replaces the present account. Raises `NotPermitted` unless `actor` is a second person."""
    with recording(
        StaffActionType.BANK_ACCOUNT_APPROVE,
        ObjectType.BANK_ACCOUNT,
        account_id,
        actor=actor,
        reason=reason,
    ) as entry:
        account = _lock_awaiting(account_id)
        if conflict := find_conflict(actor, account.requested_by):
            raise NotPermitted(conflict)
        cooling = dt.timedelta(hours=settings.PAYOUT_BANK_ACCOUNT_COOLING_HOURS)
        BankAccount.objects.filter(
            merchant_id=account.merchant_id,
            environment=account.environment,
            currency=account.currency,
            status=BankAccountStatus.ACTIVE,
        ).update(status=BankAccountStatus.REPLACED)
        account.status, account.decided_by = BankAccountStatus.ACTIVE, actor
        account.decided_at = database_now()
        account.usable_from = account.decided_at + cooling
        account.save(update_fields=["status", "decided_by", "decided_at", "usable_from"])
        entry.after = _describe(account)
    return account


def reject_bank_account(*, account_id: uuid.UUID, actor: str, reason: str) -> None:
    """Raises `NotPermitted`."""
    with recording(
        StaffActionType.BANK_ACCOUNT_REJECT, ObjectType.BANK_ACCOUNT, account_id, actor=actor, reason=reason
    ):
        account = _lock_awaiting(account_id)
        BankAccount.objects.filter(id=account.id).update(
            status=BankAccountStatus.REJECTED, decided_by=actor, decided_at=Now()
        )


def _lock_active(account: BankAccount) -> None:
    """Waits for an export that pays to the present account. A later export sees the request."""
    active = BankAccount.objects.filter(
        merchant_id=account.merchant_id,
        environment=account.environment,
        currency=account.currency,
        status=BankAccountStatus.ACTIVE,
    )
    list(active.select_for_update(no_key=True))


def _lock_awaiting(account_id: uuid.UUID) -> BankAccount:
    account = BankAccount.objects.select_for_update().filter(id=account_id).first()
    if account is None:
        raise UnknownObject(_("There is no such object."))
    if account.status != BankAccountStatus.AWAITING_APPROVAL:
        raise NotPermitted(_("This bank account has been decided already."))
    return account


def _describe(account: BankAccount) -> dict[str, str | None]:
    return {
        "merchant": str(account.merchant_id),
        "environment": account.environment,
        "currency": account.currency,
        "kind": account.kind,
        "hint": account.hint,
        "status": account.status,
        "requested_by": account.requested_by,
        "usable_from": account.usable_from.isoformat() if account.usable_from else None,
    }
