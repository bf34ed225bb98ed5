"""Merchants and API keys as the API shows them, without hashes and sealed secrets."""

import datetime as dt
from typing import Any

from django.utils.translation import gettext as _

from merchants.models import ApiKey, Merchant
from merchants.principal import Principal
from merchants.services import NewKey


def merchant_body(merchant: Merchant, principal: Principal) -> dict[str, Any]:
    """Includes the environment and scopes of the requesting key."""
    return {
        "id": merchant.pk,
        "name": merchant.name,
        "email": merchant.email,
        "status": merchant.status,
        "environment": principal.environment,
        "key_id": principal.key_id,
        "scopes": sorted(principal.scopes),
        "created_at": merchant.created_at,
    }


def key_body(key: ApiKey, *, now: dt.datetime) -> dict[str, Any]:
    return {
        "id": key.pk,
        "environment": key.environment,
        "public_id": key.public_id,
        "hint": key.hint,
        "label": key.label,
        "status": key.state_at(now),
        "scopes": key.scopes,
        "allowed_ips": key.allowed_ips,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "retires_at": key.retires_at,
        "revoked_at": key.revoked_at,
        "replaced_by": key.replaced_by_id,
        "last_used_at": key.last_used_at,
    }


def secret_fields(new: NewKey) -> dict[str, Any]:
    """For the response to the request that made the key."""
    return {
        "key": new.key,
        "secret": new.secret,
        "note": _("Store the key and the secret now: they are not shown again."),
    }


def secret_fields_in_replay() -> dict[str, Any]:
    """For a replay of that response."""
    return {
        "key": None,
        "secret": None,
        "note": _(
            "The key and the secret were shown once, when the key was created. If you lost them, rotate the key."
        ),
    }
