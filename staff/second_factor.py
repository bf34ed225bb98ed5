"""Enrols, checks and resets the second factor of staff."""

import enum
from dataclasses import dataclass, field

import structlog
from django.contrib.auth.models import User
from django.db import transaction

from audit import services as audit
from audit.action_types import ObjectType, StaffActionType
from staff.models import RECOVERY_COUNT, Authenticator, RecoveryCode, new_recovery_code, recovery_hash

log = structlog.get_logger(__name__)


class Verdict(enum.Enum):
    NOT_ENROLLED = "not enrolled"
    MISSING = "missing"
    WRONG = "wrong"
    RIGHT = "right"


@dataclass(frozen=True, slots=True)
class Checked:
    verdict: Verdict
    authenticator: Authenticator | None = None


@dataclass(frozen=True, slots=True)
class Enrolled:
    """`recovery_codes` are shown now or never."""

    authenticator: Authenticator
    recovery_codes: tuple[str, ...] = field(repr=False)


def is_enrolled(user: User) -> bool:
    return Authenticator.objects.filter(user=user, confirmed=True).exists()


def check(*, user: User, token: str) -> Checked:
    """Spends the code. A wrong one is counted, so this commits in either case."""
    with transaction.atomic():
        found = Authenticator.objects.select_for_update().filter(user=user, confirmed=True).first()
        if found is None:
            return Checked(Verdict.NOT_ENROLLED)
        if not token:
            return Checked(Verdict.MISSING)
        right = found.verify_token(token)
    log.info("staff.second_factor_checked", actor=user.get_username(), right=right)
    return Checked(Verdict.RIGHT, found) if right else Checked(Verdict.WRONG)


def begin(*, user: User) -> Authenticator:
    """A fresh key, to be scanned and confirmed. An earlier one that was never confirmed is forgotten."""
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=user.pk)
        Authenticator.objects.filter(user=user, confirmed=False).delete()
        new = Authenticator.with_new_key(user.pk)
        new.save()
    return new


def waiting(*, user: User) -> Authenticator | None:
    """The key that was shown and not confirmed yet."""
    return Authenticator.objects.filter(user=user, confirmed=False).first()


def confirm(*, user: User, token: str) -> Enrolled | None:
    """None when the code is wrong. A former authenticator and its recovery codes end with it."""
    with transaction.atomic():
        new = Authenticator.objects.select_for_update().filter(user=user, confirmed=False).first()
        if new is None or not new.verify_token(token):
            return None
        replaced, _by_model = Authenticator.objects.filter(user=user, confirmed=True).delete()
        new.confirmed = True
        new.save(update_fields=["confirmed"])
        codes = _renew_codes(new)
        _record(
            user,
            StaffActionType.FACTOR_ENROLLED,
            actor=user.get_username(),
            reason="",
            replaced=bool(replaced),
        )
    return Enrolled(new, codes)


def renew_recovery_codes(*, user: User, token: str) -> tuple[str, ...] | None:
    """None when the code of the app is wrong. The former ones end."""
    with transaction.atomic():
        found = Authenticator.objects.select_for_update().filter(user=user, confirmed=True).first()
        if found is None or not found.verify_token(token):
            return None
        codes = _renew_codes(found)
        _record(user, StaffActionType.FACTOR_CODES_RENEWED, actor=user.get_username(), reason="")
    return codes


def reset(*, user: User, actor: str, reason: str) -> bool:
    """For a person who has lost phone and codes: the next sign-in enrols anew. Runs in the caller's transaction."""
    gone, _by_model = Authenticator.objects.filter(user=user).delete()
    _record(user, StaffActionType.FACTOR_RESET, actor=actor, reason=reason, was_enrolled=bool(gone))
    return bool(gone)


def _renew_codes(authenticator: Authenticator) -> tuple[str, ...]:
    codes = tuple(new_recovery_code() for _ in range(RECOVERY_COUNT))
    authenticator.recovery_codes.all().delete()
    RecoveryCode.objects.bulk_create(
        [RecoveryCode(authenticator=authenticator, code_hash=recovery_hash(code)) for code in codes]
    )
    return codes


def _record(user: User, action: StaffActionType, *, actor: str, reason: str, **after: bool) -> None:
    audit.record(
        actor=actor,
        action=action,
        object_type=ObjectType.STAFF,
        object_id=user.get_username(),
        reason=reason,
        after=after,
    )
