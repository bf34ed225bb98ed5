"""Enrols, checks and resets the second factor of staff."""

import enum
from dataclasses import dataclass, field

import structlog
from django.contrib.auth.models import User
from django.db import transaction

from audit import services as audit
from audit.action_types import ObjectType, StaffActionType
from staff.models import (
    RECOVERY_COUNT,
    Authenticator,
    Passkey,
    RecoveryCode,
    SingleSignOnIdentity,
    generate_recovery_code,
    hash_recovery_code,
)

log = structlog.get_logger(__name__)


class CodeOutcome(enum.Enum):
    NOT_ENROLLED = "not enrolled"
    MISSING = "missing"
    WRONG = "wrong"
    ACCEPTED = "accepted"


@dataclass(frozen=True, slots=True)
class CodeCheck:
    """`authenticator` is set when the code was accepted."""

    outcome: CodeOutcome
    authenticator: Authenticator | None = None


@dataclass(frozen=True, slots=True)
class Enrollment:
    """Show `recovery_codes` now: only their hashes are stored."""

    authenticator: Authenticator
    recovery_codes: tuple[str, ...] = field(repr=False)


def is_enrolled(user: User) -> bool:
    return Authenticator.objects.filter(user=user, confirmed=True).exists()


def has_second_factor(user: User) -> bool:
    """Also True for somebody whose second factor the provider of single sign-on checks."""
    return is_enrolled(user) or SingleSignOnIdentity.objects.filter(user=user).exists()


def check_code(*, user: User, token: str) -> CodeCheck:
    """Uses up the code. Commits also when the code is wrong, because wrong codes are counted."""
    with transaction.atomic():
        authenticator = _lock_authenticator(user, confirmed=True)
        if authenticator is None:
            return CodeCheck(CodeOutcome.NOT_ENROLLED)
        if not token:
            return CodeCheck(CodeOutcome.MISSING)
        is_accepted = authenticator.verify_token(token)
    log.info("staff.second_factor_checked", actor=user.get_username(), right=is_accepted)
    return CodeCheck(CodeOutcome.ACCEPTED, authenticator) if is_accepted else CodeCheck(CodeOutcome.WRONG)


def begin_enrollment(*, user: User) -> Authenticator:
    """Makes a new key, to be scanned and confirmed. Deletes an earlier key that was not confirmed."""
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=user.pk)
        Authenticator.objects.filter(user=user, confirmed=False).delete()
        authenticator = Authenticator.create_unconfirmed(user.pk)
        authenticator.save()
    return authenticator


def get_pending_enrollment(*, user: User) -> Authenticator | None:
    """Returns the key that was shown and is not confirmed yet."""
    return Authenticator.objects.filter(user=user, confirmed=False).first()


def confirm_enrollment(*, user: User, token: str) -> Enrollment | None:
    """Replaces the former authenticator and its recovery codes. Returns None when the code is wrong."""
    with transaction.atomic():
        authenticator = _lock_authenticator(user, confirmed=False)
        if authenticator is None or not authenticator.verify_token(token):
            return None
        replaced, _by_model = Authenticator.objects.filter(user=user, confirmed=True).delete()
        authenticator.confirmed = True
        authenticator.save(update_fields=["confirmed"])
        codes = _replace_recovery_codes(authenticator)
        record_own_change(user, StaffActionType.FACTOR_ENROLLED, replaced=bool(replaced))
    return Enrollment(authenticator, codes)


def renew_recovery_codes(*, user: User, token: str) -> tuple[str, ...] | None:
    """Replaces the recovery codes. Returns None when the code of the app is wrong."""
    with transaction.atomic():
        authenticator = _lock_authenticator(user, confirmed=True)
        if authenticator is None or not authenticator.verify_token(token):
            return None
        codes = _replace_recovery_codes(authenticator)
        record_own_change(user, StaffActionType.FACTOR_CODES_RENEWED)
    return codes


def remove_second_factor(*, user: User) -> bool:
    """Deletes authenticator, recovery codes and passkeys. Returns False if there was no authenticator. Runs in the
    caller's transaction."""
    deleted, _by_model = Authenticator.objects.filter(user=user).delete()
    Passkey.objects.filter(user=user).delete()
    return bool(deleted)


def _lock_authenticator(user: User, *, confirmed: bool) -> Authenticator | None:
    return Authenticator.objects.select_for_update().filter(user=user, confirmed=confirmed).first()


def _replace_recovery_codes(authenticator: Authenticator) -> tuple[str, ...]:
    codes = tuple(generate_recovery_code() for _ in range(RECOVERY_COUNT))
    authenticator.recovery_codes.all().delete()
    RecoveryCode.objects.bulk_create(
        [RecoveryCode(authenticator=authenticator, code_hash=hash_recovery_code(code)) for code in codes]
    )
    return codes


def record_own_change(user: User, action: StaffActionType, **after: bool | str) -> None:
    """Records what a person did to their own second factor or passkeys."""
    audit.record(
        actor=user.get_username(),
        action=action,
        object_type=ObjectType.STAFF,
        object_id=user.get_username(),
        reason="",
        after=after,
    )
