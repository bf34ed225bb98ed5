"""Issues, rotates and revokes API keys."""

import datetime as dt
import ipaddress
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
from merchants.errors import (
    InsufficientScope,
    InvalidCredentials,
    KeyNotUsable,
    KeyWiderThanIssuer,
    LastManagingKey,
    TooManyKeys,
)
from merchants.models import ApiKey, KeyState, Merchant
from merchants.scopes import KEYS_MANAGE

DEFAULT_OVERLAP = dt.timedelta(hours=24)
MAX_OVERLAP = dt.timedelta(days=30)
MAX_LIFETIME = dt.timedelta(days=3650)
MAX_USABLE_KEYS = 50

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A stored key, with key and secret in the clear. Only hash and sealed secret are stored: show these now or
    never."""

    api_key: ApiKey
    key: str = field(repr=False)
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Rotation:
    """`old` works until its `retires_at`, together with `new`."""

    old: ApiKey
    new: NewKey


@transaction.atomic
def issue_key(
    *,
    merchant_id: UUID,
    environment: str,
    issued_by: UUID,
    scopes: Collection[str] | None = None,
    label: str = "",
    allowed_ips: Collection[str] = (),
    expires_at: dt.datetime | None = None,
    key_id: UUID | None = None,
) -> NewKey:
    """Issues another key. Scopes, networks and expiry that are left out are those of the issuing key.

    Raises `InsufficientScope` and `KeyWiderThanIssuer` when the key could do more than its issuer, `TooManyKeys`,
    `ValidationFailed`, and `InvalidCredentials` when the issuer was revoked meanwhile.
    """
    now = _lock_keys(merchant_id)
    issuer = _get_issuer(merchant_id, environment, issued_by, now)
    scopes = issuer.scopes if scopes is None else scopes
    allowed_ips, expires_at = allowed_ips or issuer.allowed_ips, expires_at or issuer.ends_at
    _require_not_wider(issuer, scopes=scopes, allowed_ips=allowed_ips, ends_at=expires_at)
    if expires_at is not None and not now < expires_at <= now + MAX_LIFETIME:
        raise ValidationFailed({"expires_at": [_("This must be in the future, and within ten years.")]})
    usable = [key for key in _unrevoked_keys(merchant_id, environment) if key.is_usable_at(now)]
    if len(usable) >= MAX_USABLE_KEYS:
        raise TooManyKeys({"limit": MAX_USABLE_KEYS})
    new = insert_key(
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
    rotated_by: UUID | None,
    overlap: dt.timedelta = DEFAULT_OVERLAP,
    new_key_id: UUID | None = None,
) -> Rotation:
    """Issues a successor with the same scopes, networks and lifetime. The old key stays valid for `overlap`.

    `rotated_by` is the requesting key, None for staff. The successor expires no later than it, so a key that expires
    cannot prolong itself. Raises `NotFound`, `KeyNotUsable`, and what `issue_key` raises when the key is wider than
    that one.
    """
    now = _lock_keys(merchant_id)
    old = selectors.key_of(merchant_id=merchant_id, environment=environment, key_id=key_id)
    if old.state_at(now) != KeyState.ACTIVE:
        raise KeyNotUsable({"status": old.state_at(now)})
    ends_at = now + (old.expires_at - old.created_at) if old.expires_at else None
    if rotated_by is not None:
        issuer = _get_issuer(merchant_id, environment, rotated_by, now)
        _require_not_wider(issuer, scopes=old.scopes, allowed_ips=old.allowed_ips, ends_at=old.expires_at)
        ends_at = min((end for end in (ends_at, issuer.ends_at) if end is not None), default=None)
    new = insert_key(
        key_id=new_key_id,
        merchant_id=merchant_id,
        environment=environment,
        label=old.label,
        scopes=old.scopes,
        allowed_ips=old.allowed_ips,
        expires_at=ends_at,
    )
    old.replaced_by, old.retires_at = new.api_key, now + overlap
    old.save(update_fields=["replaced_by", "retires_at"])
    log.info(
        "api_key.rotated", merchant_id=str(merchant_id), key_id=str(old.pk), successor=str(new.api_key.pk)
    )
    return Rotation(old=old, new=new)


@transaction.atomic
def revoke_key(*, merchant_id: UUID, environment: str, key_id: UUID, allow_last: bool = False) -> ApiKey:
    """Revokes a key at once. A second call changes nothing. Raises `NotFound` and `LastManagingKey`.

    A merchant cannot lock itself out: a key that can issue others from any address must remain. Staff pass `allow_last`
    to revoke a stolen key.
    """
    now = _lock_keys(merchant_id)
    key = selectors.key_of(merchant_id=merchant_id, environment=environment, key_id=key_id)
    if key.revoked_at is not None:
        return key
    if not allow_last:
        _require_managing_key_remains(key, now)
    key.revoked_at = now
    key.save(update_fields=["revoked_at"])
    log.info("api_key.revoked", merchant_id=str(merchant_id), key_id=str(key.pk))
    return key


def insert_key(
    *,
    merchant_id: UUID,
    environment: str,
    scopes: Collection[str],
    label: str = "",
    allowed_ips: Collection[str] = (),
    expires_at: dt.datetime | None = None,
    key_id: UUID | None = None,
) -> NewKey:
    """Inserts the row, without any check. Runs in the transaction of the calling service."""
    material = keys.generate_key(environment)
    api_key = ApiKey.objects.create(
        id=key_id or uuid7(),
        merchant_id=merchant_id,
        environment=environment,
        public_id=material.public_id,
        key_hash=keys.hash_key(material.key),
        sealed_secret=seal(material.secret),
        hint=f"pk_{environment}_{material.public_id}_…{material.key[-4:]}",
        label=label,
        scopes=sorted(scopes),
        allowed_ips=list(allowed_ips),
        expires_at=expires_at,
    )
    return NewKey(api_key=api_key, key=material.key, secret=material.secret)


def _lock_keys(merchant_id: UUID) -> dt.datetime:
    """Locks the merchant, so that two revocations at the same time cannot end its last two managing keys. Returns the
    database's time."""
    Merchant.objects.select_for_update(no_key=True).get(pk=merchant_id)
    return database_now()


def _unrevoked_keys(merchant_id: UUID, environment: str) -> list[ApiKey]:
    return list(selectors.keys_of(merchant_id=merchant_id, environment=environment).filter(revoked_at=None))


def _get_issuer(merchant_id: UUID, environment: str, key_id: UUID, now: dt.datetime) -> ApiKey:
    """Reads the requesting key under the lock: it may have been revoked since it was authenticated."""
    issuer = selectors.key_of(merchant_id=merchant_id, environment=environment, key_id=key_id)
    if not issuer.is_usable_at(now):
        raise InvalidCredentials
    return issuer


def _require_not_wider(
    issuer: ApiKey, *, scopes: Collection[str], allowed_ips: Collection[str], ends_at: dt.datetime | None
) -> None:
    """Raises unless the new key can do no more, from no more addresses and for no longer than its issuer."""
    extra_scopes = sorted(set(scopes) - set(issuer.scopes))
    if extra_scopes:
        raise InsufficientScope({"required_scopes": extra_scopes})
    if issuer.allowed_ips:
        outside = [network for network in allowed_ips if not _is_subnet_of_any(network, issuer.allowed_ips)]
        if outside or not allowed_ips:
            raise KeyWiderThanIssuer({"allowed_ips": outside, "issuer_allowed_ips": issuer.allowed_ips})
    if issuer.ends_at is not None and (ends_at is None or ends_at > issuer.ends_at):
        raise KeyWiderThanIssuer({"expires_at": ends_at, "issuer_expires_at": issuer.ends_at})


def _is_subnet_of_any(network: str, networks: Collection[str]) -> bool:
    inner = ipaddress.ip_network(network)
    return any(
        inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]
        for outer in map(ipaddress.ip_network, networks)
    )


def _require_managing_key_remains(key: ApiKey, now: dt.datetime) -> None:
    """Raises `LastManagingKey` unless active keys remain, and one that can always manage keys if this one can."""
    if key.state_at(now) != KeyState.ACTIVE:
        return
    active = [
        each
        for each in _unrevoked_keys(key.merchant_id, key.environment)
        if each.state_at(now) == KeyState.ACTIVE
    ]
    remaining = [each for each in active if each.pk != key.pk]
    if not remaining or (_can_always_manage_keys(key) and not any(map(_can_always_manage_keys, remaining))):
        raise LastManagingKey


def _can_always_manage_keys(key: ApiKey) -> bool:
    """True if the key manages keys, from any address, without expiry."""
    return KEYS_MANAGE in key.scopes and not key.allowed_ips and key.expires_at is None
