"""The life of an API key: issued, rotated with an overlap, revoked."""

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
    issued_by: UUID,
    scopes: Collection[str] | None = None,
    label: str = "",
    allowed_ips: Collection[str] = (),
    expires_at: dt.datetime | None = None,
    key_id: UUID | None = None,
) -> NewKey:
    """Issues a further key. What is left out is taken from the issuing key: its scopes, networks and end.

    Raises `InsufficientScope` and `KeyWiderThanIssuer` when the key could do more than its issuer, `TooManyKeys`,
    `ValidationFailed`, and `InvalidCredentials` when the issuer was revoked meanwhile.
    """
    now = _lock(merchant_id)
    issuer = _issuer(merchant_id, environment, issued_by, now)
    scopes = issuer.scopes if scopes is None else scopes
    allowed_ips, expires_at = allowed_ips or issuer.allowed_ips, expires_at or issuer.ends_at
    _refuse_wider(issuer, scopes=scopes, allowed_ips=allowed_ips, ends_at=expires_at)
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
    rotated_by: UUID | None,
    overlap: dt.timedelta = DEFAULT_OVERLAP,
    new_key_id: UUID | None = None,
) -> Rotation:
    """Issues a successor with the same scopes and networks, valid for as long; the old key works on for `overlap`.

    `rotated_by` is the key that asks, None for staff. The successor never outlives it: a key that expires does not
    prolong itself. Raises `NotFound`, `KeyNotUsable`, and what `issue_key` raises when the key is wider than that one.
    """
    now = _lock(merchant_id)
    old = selectors.key_of(merchant_id=merchant_id, environment=environment, key_id=key_id)
    if old.state_at(now) != KeyState.ACTIVE:
        raise KeyNotUsable({"status": old.state_at(now)})
    ends_at = now + (old.expires_at - old.created_at) if old.expires_at else None
    if rotated_by is not None:
        issuer = _issuer(merchant_id, environment, rotated_by, now)
        _refuse_wider(issuer, scopes=old.scopes, allowed_ips=old.allowed_ips, ends_at=old.expires_at)
        ends_at = min((end for end in (ends_at, issuer.ends_at) if end is not None), default=None)
    new = store_new_key(
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
    """Ends a key at once. A second time changes nothing. Raises `NotFound` and `LastManagingKey`.

    A merchant cannot lock itself out: a key that can issue others from anywhere remains. Staff who stop a stolen key
    say `allow_last`.
    """
    now = _lock(merchant_id)
    key = selectors.key_of(merchant_id=merchant_id, environment=environment, key_id=key_id)
    if key.revoked_at is not None:
        return key
    if not allow_last:
        _refuse_lock_out(key, now)
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
    """One change of a merchant's keys at a time, so that two revocations never end the last two that manage keys."""
    Merchant.objects.select_for_update(no_key=True).get(pk=merchant_id)
    return database_now()


def _keys(merchant_id: UUID, environment: str) -> list[ApiKey]:
    return list(selectors.keys_of(merchant_id=merchant_id, environment=environment).filter(revoked_at=None))


def _issuer(merchant_id: UUID, environment: str, key_id: UUID, now: dt.datetime) -> ApiKey:
    """The key that asks, as it is under the lock: another request may have revoked it since it was authenticated."""
    issuer = selectors.key_of(merchant_id=merchant_id, environment=environment, key_id=key_id)
    if not issuer.is_usable_at(now):
        raise InvalidCredentials
    return issuer


def _refuse_wider(
    issuer: ApiKey, *, scopes: Collection[str], allowed_ips: Collection[str], ends_at: dt.datetime | None
) -> None:
    """No key makes one that can do more, from more places or for longer than itself."""
    beyond = sorted(set(scopes) - set(issuer.scopes))
    if beyond:
        raise InsufficientScope({"required_scopes": beyond})
    if issuer.allowed_ips:
        outside = [network for network in allowed_ips if not _is_inside(network, issuer.allowed_ips)]
        if outside or not allowed_ips:
            raise KeyWiderThanIssuer({"allowed_ips": outside, "issuer_allowed_ips": issuer.allowed_ips})
    if issuer.ends_at is not None and (ends_at is None or ends_at > issuer.ends_at):
        raise KeyWiderThanIssuer({"expires_at": ends_at, "issuer_expires_at": issuer.ends_at})


def _is_inside(network: str, networks: Collection[str]) -> bool:
    inner = ipaddress.ip_network(network)
    return any(
        inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]
        for outer in map(ipaddress.ip_network, networks)
    )


def _refuse_lock_out(key: ApiKey, now: dt.datetime) -> None:
    """Raises `LastManagingKey` unless others stay, among them one that manages keys from anywhere if this one does."""
    if key.state_at(now) != KeyState.ACTIVE:
        return
    active = [
        each for each in _keys(key.merchant_id, key.environment) if each.state_at(now) == KeyState.ACTIVE
    ]
    staying = [each for each in active if each.pk != key.pk]
    if not staying or (_is_way_in(key) and not any(map(_is_way_in, staying))):
        raise LastManagingKey


def _is_way_in(key: ApiKey) -> bool:
    """Whether the key manages keys from anywhere and for ever."""
    return KEYS_MANAGE in key.scopes and not key.allowed_ips and key.expires_at is None
