"""Reads sagas for other apps."""

import uuid

from sagas.models import ACTIVE_SAGA_STATUSES, SagaInstance, SagaStatus
from sagas.outcomes import Failure


def get_saga_status(saga_id: uuid.UUID) -> SagaStatus | None:
    status = SagaInstance.objects.filter(id=saga_id).values_list("status", flat=True).first()
    return SagaStatus(status) if status else None


def is_saga_active(saga_id: uuid.UUID) -> bool:
    return SagaInstance.objects.filter(id=saga_id, status__in=ACTIVE_SAGA_STATUSES).exists()


def has_active_saga(*, definition: str, business_id: str) -> bool:
    return SagaInstance.objects.filter(
        definition=definition, business_id=business_id, status__in=ACTIVE_SAGA_STATUSES
    ).exists()


def get_saga_failure(saga_id: uuid.UUID) -> Failure | None:
    """The failure for which a saga is or was compensated. None when it has none."""
    row = SagaInstance.objects.filter(id=saga_id).values_list("error_code", "error_message").first()
    return Failure(*row) if row and row[0] else None


def get_saga_trace_context(saga_id: uuid.UUID) -> dict[str, str]:
    """The trace that a saga belongs to. Empty when it has none."""
    row = SagaInstance.objects.filter(id=saga_id).values_list("trace_context", flat=True).first()
    return dict(row or {})
