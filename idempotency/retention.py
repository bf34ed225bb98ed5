"""Deletes old keys in small batches, so that no request waits for a lock."""

from datetime import timedelta

from django.db.models.functions import Now

from idempotency.models import IdempotencyKey

RETENTION = timedelta(days=7)


def prune_keys(*, batch: int = 1000) -> int:
    """Deletes completed keys past their retention, at most `batch`, and returns their number."""
    old = IdempotencyKey.objects.filter(
        created_at__lt=Now() - RETENTION, state=IdempotencyKey.State.COMPLETED
    ).order_by("created_at")[:batch]
    deleted, _by_model = IdempotencyKey.objects.filter(pk__in=old.values("pk")).delete()
    return deleted
