"""Old keys go, in batches small enough that nobody waits."""

from datetime import timedelta

from django.db.models.functions import Now

from idempotency.models import IdempotencyKey

RETENTION = timedelta(days=7)


def prune(*, batch: int = 1000) -> int:
    """Deletes finished keys past their retention and answers how many went."""
    old = IdempotencyKey.objects.filter(
        created_at__lt=Now() - RETENTION, state=IdempotencyKey.State.COMPLETED
    ).order_by("created_at")[:batch]
    deleted, _by_model = IdempotencyKey.objects.filter(pk__in=old.values("pk")).delete()
    return deleted
