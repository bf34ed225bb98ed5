"""Nonces are spent once. In Postgres, because forgetting one would let a recorded request run again."""

import datetime as dt
from uuid import UUID

from django.db.models.functions import Now

from common.db import insert_unless_exists
from merchants.errors import NonceReused
from merchants.models import RequestNonce

# A timestamp is good for 300 seconds either side, so a nonce matters for 600. Twice that: clocks differ.
KEPT_FOR = dt.timedelta(minutes=20)


def spend_nonce(*, key_id: UUID, nonce: str) -> None:
    """Raises `NonceReused`, also for two requests at the same instant."""
    if not insert_unless_exists(RequestNonce(api_key_id=key_id, nonce=nonce)):
        raise NonceReused


def prune_nonces(*, batch: int = 10_000) -> int:
    """Deletes nonces whose timestamps nobody would accept any more, and answers how many went."""
    old = RequestNonce.objects.filter(created_at__lt=Now() - KEPT_FOR).order_by("created_at")[:batch]
    deleted, _by_model = RequestNonce.objects.filter(pk__in=old.values("pk")).delete()
    return deleted
