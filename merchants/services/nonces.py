"""Accepts each nonce once. In PostgreSQL: if one were forgotten, a recorded request could run again."""

import datetime as dt
from uuid import UUID

from django.db.models.functions import Now

from common.db import insert_unless_exists
from merchants.errors import NonceReused
from merchants.models import RequestNonce

# A timestamp is accepted for 300 s before and after our time, so a nonce matters for 600 s. Doubled for safety.
NONCE_RETENTION = dt.timedelta(minutes=20)


def spend_nonce(*, key_id: UUID, nonce: str) -> None:
    """Marks the nonce as used. Raises `NonceReused`, also for one of two requests at the same instant."""
    if not insert_unless_exists(RequestNonce(api_key_id=key_id, nonce=nonce)):
        raise NonceReused


def prune_nonces(*, batch: int = 10_000) -> int:
    """Deletes a batch of nonces whose timestamps are no longer accepted. Returns their number."""
    old = RequestNonce.objects.filter(created_at__lt=Now() - NONCE_RETENTION).order_by("created_at")[:batch]
    deleted, _by_model = RequestNonce.objects.filter(pk__in=old.values("pk")).delete()
    return deleted
