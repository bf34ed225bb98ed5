"""The state machine of responses to disputes: draft, submitting, submitted or failed."""

import uuid

from django.db.models.functions import Now

from gateway.models import DisputeResponse, ResponseStatus


def begin_response(*, response_id: uuid.UUID) -> bool:
    """The draft becomes fixed: it is about to be submitted."""
    return _move(response_id, ResponseStatus.DRAFT, ResponseStatus.SUBMITTING)


def mark_response_submitted(*, response_id: uuid.UUID) -> bool:
    return _move(response_id, ResponseStatus.SUBMITTING, ResponseStatus.SUBMITTED, submitted_at=Now())


def mark_response_failed(*, response_id: uuid.UUID, code: str, message: str) -> bool:
    return _move(
        response_id,
        ResponseStatus.SUBMITTING,
        ResponseStatus.FAILED,
        failure_code=code[:100],
        failure_message=message,
    )


def _move(response_id: uuid.UUID, source: ResponseStatus, target: ResponseStatus, **changes: object) -> bool:
    found = DisputeResponse.objects.filter(id=response_id, status=source)
    return bool(found.update(status=target, **changes))
