"""Deletes old keys in small batches, so that no request waits for a lock."""

from datetime import timedelta

from django.db.models import Q
from django.db.models.functions import Now

from idempotency.models import IdempotencyKey

RETENTION = timedelta(days=7)


def prune_keys(*, is_over: Q, batch: int = 1000) -> int:
    """Deletes keys past their retention, at most `batch`, and returns their number. A key in flight, such as one that
    was answered 202 and never repeated, stays until its write `is_over`: its repetition must find it."""
    completed, abandoned = Q(state=IdempotencyKey.State.COMPLETED), Q(is_over, lease_expires_at__lte=Now())
    old = IdempotencyKey.objects.filter(completed | abandoned, created_at__lt=Now() - RETENTION)
    old = old.order_by("created_at")[:batch]
    deleted, _by_model = IdempotencyKey.objects.filter(pk__in=old.values("pk")).delete()
    return deleted
