"""Reading merchants and keys, always within one merchant and one environment."""

from uuid import UUID

from django.db.models import QuerySet

from common.errors import NotFound
from merchants import keys
from merchants.models import ApiKey, Merchant


def key_presented(key: str) -> ApiKey | None:
    """The key a request names, with its merchant: the one statement of authentication."""
    return ApiKey.objects.select_related("merchant").filter(key_hash=keys.hash_of(key)).first()


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
