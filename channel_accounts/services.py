"""Changes channel accounts: adds, updates, checks, disables and enables them, and rotates their credentials.

The functions that check credentials call the channel: they are called outside a transaction. The row is written
afterwards, in a transaction of its own.
"""

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from channel_accounts import loaded_accounts
from channel_accounts.credentials import (
    seal_credentials,
    unseal_credentials,
    validate_credentials,
)
from channel_accounts.errors import (
    AccountDisconnected,
    AccountManagedByPlatform,
    CredentialsNotChecked,
    TooManyAccounts,
)
from channel_accounts.models import (
    AccountStatus,
    CredentialCheckResult,
    StoredChannelAccount,
    new_webhook_token,
)
from channels.base import (
    AccountKind,
    ChannelAccount,
    CredentialCheck,
    CredentialField,
    CredentialsAccepted,
    CredentialsRefused,
    CredentialsUnchecked,
)
from channels.registry import (
    UnknownChannel,
    check_credentials,
    get_capabilities,
    get_credential_fields,
)
from common.clock import database_now
from common.db import insert_unless_exists
from common.errors import ValidationFailed
from common.sensitive_text import hide_secrets
from merchants.models import Merchant

MAX_ACCOUNTS = 20  # of one merchant at one channel in one environment
CHECK_TIMEOUT_SECONDS = 10.0
DEFAULT_OVERLAP = dt.timedelta(hours=24)
MAX_OVERLAP = dt.timedelta(days=30)
MAX_DETAILS = 255
MAX_ACCOUNT_NO = 100
RETRY_SOON = {"Retry-After": "10"}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CheckedCredentials:
    """Credentials that may be stored: the channel accepted them, or the caller wants them unchecked."""

    result: CredentialCheckResult
    details: str
    account_no: str
    credentials: Mapping[str, str] = field(repr=False)
    kind: AccountKind = AccountKind.OWN


def validate_new_credentials(
    *,
    channel: str,
    credentials: Mapping[str, object],
    payment_methods: Sequence[str] = (),
    kind: AccountKind = AccountKind.OWN,
) -> dict[str, str]:
    """Validates what needs no call of the channel. Raises `ValidationFailed`."""
    fields = _get_fields(channel)
    _require_known_methods(channel, payment_methods)
    return validate_credentials(fields, kind, credentials)


def check_new_credentials(
    *,
    channel: str,
    environment: str,
    credentials: Mapping[str, object],
    save_unchecked: bool,
    kind: AccountKind = AccountKind.OWN,
) -> CheckedCredentials:
    """Validates credentials and calls the channel with them. Nothing is stored. Only staff may pass another `kind`.

    Raises `ValidationFailed`, which names the wrong field, and `CredentialsNotChecked`, unless `save_unchecked`.
    """
    values = validate_new_credentials(channel=channel, credentials=credentials, kind=kind)
    check = check_credentials(channel, ChannelAccount(environment, credentials=values), CHECK_TIMEOUT_SECONDS)
    match check:
        case CredentialsRefused(message, name):
            raise ValidationFailed(
                {f"credentials.{name}" if name else "credentials": [hide_secrets(message)]}
            )
        case CredentialsUnchecked(reason) if not save_unchecked:
            raise CredentialsNotChecked(
                {"channel": channel, "reason": hide_secrets(reason)}, headers=RETRY_SOON
            )
    result, details = _describe(check)
    return CheckedCredentials(result, details, _find_account_no(channel, values), values, kind)


@transaction.atomic
def create_account(
    *,
    merchant_id: uuid.UUID | None,
    environment: str,
    channel: str,
    display_name: str,
    checked: CheckedCredentials,
    payment_methods: Sequence[str] = (),
    account_id: uuid.UUID,
) -> StoredChannelAccount:
    """Adds an account, which takes new payments at once. A second call with the same id changes nothing.

    Raises `TooManyAccounts`, `ValidationFailed`: a connected account belongs to one merchant in each environment.
    """
    _require_known_methods(channel, payment_methods)
    if merchant_id is not None:
        Merchant.objects.select_for_update(no_key=True).get(pk=merchant_id)
    owner = Q(merchant__isnull=True) if merchant_id is None else Q(merchant_id=merchant_id)
    siblings = StoredChannelAccount.objects.filter(owner, environment=environment, channel=channel)
    if siblings.exclude(id=account_id).count() >= MAX_ACCOUNTS:
        raise TooManyAccounts({"limit": MAX_ACCOUNTS})
    insert_unless_exists(
        StoredChannelAccount(
            id=account_id,
            merchant_id=merchant_id,
            environment=environment,
            channel=channel,
            kind=checked.kind.value,
            display_name=display_name,
            account_no=checked.account_no,
            sealed_credentials=seal_credentials(checked.credentials),
            capabilities=_build_capabilities(payment_methods),
            webhook_token=new_webhook_token(),
            last_checked_at=database_now(),
            last_check_result=checked.result,
            last_check_details=checked.details,
        )
    )
    created = StoredChannelAccount.objects.filter(id=account_id).first()
    if created is None:
        raise build_already_connected_error(checked)
    return announce_change(created, "created")


def build_already_connected_error(checked: CheckedCredentials) -> ValidationFailed:
    name = next(iter(checked.credentials))
    return ValidationFailed(
        {f"credentials.{name}": [_("This account is connected to the platform already.")]}
    )


@transaction.atomic
def update_account(
    *,
    account_id: uuid.UUID,
    display_name: str | None = None,
    payment_methods: Sequence[str] | None = None,
) -> StoredChannelAccount:
    """Changes what is given. Raises `ValidationFailed`."""
    row = lock_account(account_id)
    if display_name is not None:
        row.display_name = display_name
    if payment_methods is not None:
        _require_known_methods(row.channel, payment_methods)
        row.capabilities = _build_capabilities(payment_methods)
    row.updated_at = database_now()
    row.save(update_fields=["display_name", "capabilities", "updated_at"])
    return announce_change(row, "updated")


@transaction.atomic
def rotate_credentials(
    *, account_id: uuid.UUID, checked: CheckedCredentials, overlap: dt.timedelta = DEFAULT_OVERLAP
) -> StoredChannelAccount:
    """Calls use the new credentials from now on. For `overlap`, webhooks are also accepted with the previous ones.

    A repetition with the same credentials keeps the previous ones: its caller may have lost the first answer. Raises
    `AccountManagedByPlatform` for a connected account: see `connected_accounts`.
    """
    row = lock_account(account_id)
    require_own_keys(row, checked)
    row.updated_at = database_now()
    previous = row.sealed_credentials
    if unseal_credentials(previous) == checked.credentials:
        previous = row.previous_sealed_credentials
    has_overlap = bool(overlap and previous)
    row.previous_sealed_credentials = previous if has_overlap else ""
    row.previous_credentials_until = row.updated_at + overlap if has_overlap else None
    row.sealed_credentials, row.account_no = seal_credentials(checked.credentials), checked.account_no
    row.last_checked_at, row.last_check_result = row.updated_at, checked.result
    row.last_check_details = checked.details
    row.save(
        update_fields=[
            "account_no",
            "sealed_credentials",
            "previous_sealed_credentials",
            "previous_credentials_until",
            "last_checked_at",
            "last_check_result",
            "last_check_details",
            "updated_at",
        ]
    )
    return announce_change(row, "credentials_rotated")


def require_own_keys(row: StoredChannelAccount, checked: CheckedCredentials | None = None) -> None:
    """Raises `AccountManagedByPlatform` unless the account, and what was checked for it, have keys of their own."""
    kinds = {row.kind, checked.kind.value if checked else row.kind}
    if kinds != {AccountKind.OWN.value}:
        raise AccountManagedByPlatform


def check_stored_credentials(*, account: StoredChannelAccount) -> CheckedCredentials:
    """Calls the channel with the credentials of the account. A refusal is a result here, not an error."""
    credentials = unseal_credentials(account.sealed_credentials)
    check = check_credentials(
        account.channel, loaded_accounts.to_channel_account(account), CHECK_TIMEOUT_SECONDS
    )
    result, details = _describe(check)
    return CheckedCredentials(result, details, account.account_no, credentials, AccountKind(account.kind))


@transaction.atomic
def record_check(*, account_id: uuid.UUID, checked: CheckedCredentials) -> StoredChannelAccount:
    """Records the result, unless the credentials were rotated while the channel was called: it is not about them. An
    account that its owner had disconnected may be enabled again when the channel accepts it."""
    row = lock_account(account_id)
    if unseal_credentials(row.sealed_credentials) != checked.credentials:
        return row
    row.last_checked_at = row.updated_at = database_now()
    row.last_check_result, row.last_check_details = checked.result, checked.details
    if checked.result == CredentialCheckResult.ACCEPTED:
        row.disabled_reason = ""
    row.save(
        update_fields=[
            "last_checked_at",
            "last_check_result",
            "last_check_details",
            "disabled_reason",
            "updated_at",
        ]
    )
    return announce_change(row, "checked")


@transaction.atomic
def set_account_status(*, account_id: uuid.UUID, status: AccountStatus) -> StoredChannelAccount:
    """A disabled account takes no new payments. Its payments are still queried, captured, cancelled and refunded.

    Raises `AccountDisconnected` for an account that its owner has disconnected.
    """
    row = lock_account(account_id)
    if status == AccountStatus.ACTIVE and row.disabled_reason:
        raise AccountDisconnected
    if row.status != status:
        row.status, row.updated_at = status, database_now()
        row.save(update_fields=["status", "updated_at"])
    return announce_change(row, status.value)


def lock_account(account_id: uuid.UUID) -> StoredChannelAccount:
    return StoredChannelAccount.objects.select_for_update(no_key=True).get(id=account_id)


def announce_change(row: StoredChannelAccount, change: str) -> StoredChannelAccount:
    def announce() -> None:
        loaded_accounts.clear_cache()
        log.info(
            "channel_account.changed",
            change=change,
            channel_account=str(row.id),
            channel=row.channel,
            environment=row.environment,
            merchant_id=str(row.merchant_id) if row.merchant_id else None,
        )

    transaction.on_commit(announce)
    return row


def _get_fields(channel: str) -> tuple[CredentialField, ...]:
    """Raises `ValidationFailed`."""
    try:
        fields = get_credential_fields(channel)
    except UnknownChannel as error:
        raise ValidationFailed({"channel": [str(error)]}) from error
    if not fields:
        raise ValidationFailed({"channel": [_("This channel has no accounts of its own.")]})
    return fields


def _find_account_no(channel: str, credentials: Mapping[str, str]) -> str:
    names = (field.name for field in get_credential_fields(channel) if field.names_account)
    return next((credentials[name] for name in names if name in credentials), "")[:MAX_ACCOUNT_NO]


def _require_known_methods(channel: str, payment_methods: Sequence[str]) -> None:
    known = [method.name for method in get_capabilities(channel).methods]
    unknown = sorted(set(payment_methods) - set(known))
    if unknown:
        text = _("This channel does not offer %(unknown)s. It offers: %(known)s.")
        problem = text % {"unknown": ", ".join(unknown), "known": ", ".join(known)}
        raise ValidationFailed({"payment_methods": [problem]})


def _build_capabilities(payment_methods: Sequence[str]) -> dict[str, list[str]]:
    return {"payment_methods": sorted(set(payment_methods))} if payment_methods else {}


def _describe(check: CredentialCheck) -> tuple[CredentialCheckResult, str]:
    match check:
        case CredentialsAccepted(details):
            return CredentialCheckResult.ACCEPTED, _shorten(details)
        case CredentialsRefused(message):
            return CredentialCheckResult.REFUSED, _shorten(message)
        case CredentialsUnchecked(reason):
            return CredentialCheckResult.UNCHECKED, _shorten(reason)


def _shorten(text: str) -> str:
    """Without what looks like a secret: some channels repeat a part of the key that they refuse."""
    return hide_secrets(text)[:MAX_DETAILS]
