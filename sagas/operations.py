"""What others may ask of a running saga. Safe at any moment: the worker that holds it learns at its next commit."""

import uuid

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from sagas import hints
from sagas.models import ACTIVE, SagaInstance


def wake(*, saga_id: uuid.UUID) -> bool:
    """Makes a waiting or parked saga due now: the news that it waits for may be there. False when it is at rest
    for good or a worker is on it already."""
    with transaction.atomic():
        woken = SagaInstance.objects.filter(
            id=saga_id, status__in=ACTIVE, lease_expires_at__isnull=True
        ).update(
            lease_expires_at=Now(),
            needs_attention=False,
            attention_reason="",
            claims_without_progress=0,
            revision=F("revision") + 1,
            updated_at=Now(),
        )
        if woken:
            hints.send(saga_id)
    return bool(woken)


def request_cancel(*, saga_id: uuid.UUID) -> bool:
    """Asks a saga to turn back. It does, unless its pivot has happened or may have. False when it is over."""
    with transaction.atomic():
        asked = SagaInstance.objects.filter(id=saga_id, status__in=ACTIVE).update(
            cancel_requested_at=Now(), revision=F("revision") + 1, updated_at=Now()
        )
        SagaInstance.objects.filter(
            Q(lease_expires_at__isnull=True), id=saga_id, status__in=ACTIVE, needs_attention=False
        ).update(lease_expires_at=Now())
        if asked:
            hints.send(saga_id)
    return bool(asked)
