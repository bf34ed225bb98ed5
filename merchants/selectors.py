"""Reads merchants and API keys, always within one merchant and one environment."""

import datetime as dt
from uuid import UUID

from django.db.models import QuerySet
from django.db.models.functions import Now

from common.errors import NotFound
from merchants import keys
from merchants.models import ApiKey, Merchant


def find_presented_key(key: str) -> tuple[ApiKey, dt.datetime] | None:
    """Returns the key of a request, with its merchant, and the database's time: the one statement of authentication."""
    annotated = ApiKey.objects.select_related("merchant").annotate(database_time=Now())
    key_row = annotated.filter(key_hash=keys.hash_key(key)).first()
    return (key_row, key_row.database_time) if key_row else None


def merchant_by_id(*, merchant_id: UUID) -> Merchant:
    return Merchant.objects.get(pk=merchant_id)


def keys_of(*, merchant_id: UUID, environment: str) -> QuerySet[ApiKey]:
    return ApiKey.objects.filter(merchant_id=merchant_id, environment=environment)


def key_of(*, merchant_id: UUID, environment: str, key_id: UUID) -> ApiKey:
    """Raises `NotFound` for another merchant's key and for one of the other environment."""
    key = keys_of(merchant_id=merchant_id, environment=environment).filter(pk=key_id).first()
    if key is None:
        raise NotFound
    return key
