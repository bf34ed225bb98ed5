"""Reads merchants and API keys, always within one merchant and one environment."""

import datetime as dt
from dataclasses import dataclass
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from common.errors import NotFound
from common.model_rows import ModelRow
from merchants import keys
from merchants.models import ApiKey, Merchant

_API_KEY = ModelRow(ApiKey)
# The one statement of authentication. It is prepared, because every request runs it.
_PRESENTED_KEY = f"""
SELECT merchants.status, STATEMENT_TIMESTAMP(), {_API_KEY.columns}
FROM api_keys JOIN merchants ON merchants.id = api_keys.merchant_id
WHERE api_keys.key_hash = %s
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class PresentedKey:
    """The key of a request as it is in the database `now`, by the database's clock."""

    key: ApiKey
    merchant_status: str
    now: dt.datetime


def find_presented_key(key: str) -> PresentedKey | None:
    with connection.cursor() as cursor:
        cursor.execute(_PRESENTED_KEY, [keys.hash_key(key)])
        row = cursor.fetchone()
    if row is None:
        return None
    merchant_status, now, *columns = row
    return PresentedKey(_API_KEY.build(columns), merchant_status, now)


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
