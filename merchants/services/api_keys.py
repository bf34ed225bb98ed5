"""The life of an API key: issued, rotated with an overlap, revoked."""

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass, field
from uuid import UUID

import structlog
from django.db import transaction
from django.utils.translation import gettext as _

from common.clock import database_now
from common.crypto import seal
from common.errors import ValidationFailed
from common.ids import uuid7
from merchants import keys, selectors
from merchants.errors import InsufficientScope, KeyNotUsable, LastUsableKey, TooManyKeys
from merchants.models import ApiKey, KeyState, Merchant

DEFAULT_OVERLAP = dt.timedelta(hours=24)
MAX_OVERLAP = dt.timedelta(days=30)
MAX_LIFETIME = dt.timedelta(days=3650)
MAX_USABLE_KEYS = 50

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A stored key with the two texts that are not stored: to be shown to its owner now, or never."""

    api_key: ApiKey
    key: str = field(repr=False)
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Rotation:
    """The key that goes, with its last day in `retires_at`, and the one that takes over."""

    old: ApiKey
    new: NewKey


@transaction.atomic
def issue_key(
    *,
    merchant_id: UUID,
    environment: str,
    scopes: Collection[str],
    granted_by: Collection[str],
    label: str = "",
    allowed_ips: Collection[str] = (),
    expires_at: dt.datetime | None = None,
    key_id: UUID | None = None,
) -> NewKey:
    """A further key. Nobody hands on what they do not hold: `granted_by` is what the issuer may do.

    Raises `InsufficientScope`, `TooManyKeys`, `ValidationFailed`.
    """
    _refuse_escalation(scopes, granted_by)
    now = _lock(merchant_id)
    if expires_at is not None and not now < expires_at <= now + MAX_LIFETIME:
        raise ValidationFailed({"expires_at": [_("This must be in the future, and within ten years.")]})
    usable = [key for key in _keys(merchant_id, environment) if key.is_usable_at(now)]
    if len(usable) >= MAX_USABLE_KEYS:
        raise TooManyKeys({"limit": MAX_USABLE_KEYS})
    new = store_new_key(
        key_id=key_id,
        merchant_id=merchant_id,
        environment=environment,
        label=label,
        scopes=scopes,
        allowed_ips=allowed_ips,
        expires_at=expires_at,
    )
    log.info("api_key.issued", merchant_id=str(merchant_id), key_id=str(new.api_key.pk))
    return new


@transaction.atomic
def rotate_key(
    *,
    merchant_id: UUID,
    environment: str,
    key_id: UUID,
    granted_by: Collection[str],
    overlap: dt.timedelta = DEFAULT_OVERLAP,
    new_key_id: UUID | None = None,
) -> Rotation:
    """A successor with the same scopes and networks, valid for as long; the old key works on for `overlap`.

    Raises `NotFound`, `KeyNotUsable`, `InsufficientScope`.
    """
    now = _lock(merchant_id)
    old = selectors.key_of(merchant_id=merchant_id, environment=environment, key_id=key_id)
    if old.state_at(now) != KeyState.ACTIVE:
        raise KeyNotUsable({"status": old.state_at(now)})
    _refuse_escalation(old.scopes, granted_by)
    new = store_new_key(
        key_id=new_key_id,
        merchant_id=merchant_id,
        environment=environment,
        label=old.label,
        scopes=old.scopes,
        allowed_ips=old.allowed_ips,
        expires_at=now + (old.expires_at - old.created_at) if old.expires_at else None,
    )
    old.replaced_by, old.retires_at = new.api_key, now + overlap
    old.save(update_fields=["replaced_by", "retires_at"])
    log.info(
        "api_key.rotated", merchant_id=str(merchant_id), key_id=str(old.pk), successor=str(new.api_key.pk)
    )
    return Rotation(old=old, new=new)


@transaction.atomic
def revoke_key(*, merchant_id: UUID, environment: str, key_id: UUID, allow_last: bool = False) -> ApiKey:
    """Ends a key at once. A second time changes nothing. Raises `NotFound` and `LastUsableKey`.

    A merchant must not lock itself out by a slip; staff who stop a stolen key say `allow_last`.
    """
    now = _lock(merchant_id)
    key = selectors.key_of(merchant_id=merchant_id, environment=environment, key_id=key_id)
    if key.revoked_at is not None:
        return key
    living = _keys(merchant_id, environment)
    staying = {other.pk for other in living if other.state_at(now) == KeyState.ACTIVE}
    if staying == {key.pk} and not allow_last:
        raise LastUsableKey
    key.revoked_at = now
    key.save(update_fields=["revoked_at"])
    log.info("api_key.revoked", merchant_id=str(merchant_id), key_id=str(key.pk))
    return key


def store_new_key(
    *,
    merchant_id: UUID,
    environment: str,
    scopes: Collection[str],
    label: str = "",
    allowed_ips: Collection[str] = (),
    expires_at: dt.datetime | None = None,
    key_id: UUID | None = None,
) -> NewKey:
    """The row alone, for services that have decided. Runs in their transaction."""
    material = keys.generate(environment)
    api_key = ApiKey.objects.create(
        id=key_id or uuid7(),
        merchant_id=merchant_id,
        environment=environment,
        public_id=material.public_id,
        key_hash=keys.hash_of(material.key),
        sealed_secret=seal(material.secret),
        hint=f"pk_{environment}_{material.public_id}_…{material.key[-4:]}",
        label=label,
        scopes=sorted(scopes),
        allowed_ips=list(allowed_ips),
        expires_at=expires_at,
    )
    return NewKey(api_key=api_key, key=material.key, secret=material.secret)


def _lock(merchant_id: UUID) -> dt.datetime:
    """One change of a merchant's keys at a time, so that two revocations never end the last two keys."""
    Merchant.objects.select_for_update(no_key=True).get(pk=merchant_id)
    return database_now()


def _keys(merchant_id: UUID, environment: str) -> list[ApiKey]:
    return list(selectors.keys_of(merchant_id=merchant_id, environment=environment).filter(revoked_at=None))


def _refuse_escalation(scopes: Collection[str], granted_by: Collection[str]) -> None:
    beyond = sorted(set(scopes) - set(granted_by))
    if beyond:
        raise InsufficientScope({"required_scopes": beyond})
