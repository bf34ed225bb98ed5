"""The allowed transitions of sagas, by the code, the database and the documents."""

import pytest
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from sagas.models import ACTIVE_SAGA_STATUSES, SAGA_TRANSITIONS, SagaInstance, SagaStatus
from tests.support.transitions import pairs_in_documents, pairs_of, pairs_the_database_accepts

pytestmark = pytest.mark.django_db


def insert(status: str, **changes: object) -> SagaInstance:
    return SagaInstance.objects.create(
        business_id="B-1",
        business_type="test",
        definition="test.transitions",
        definition_version=1,
        status=status,
        deadline_at=Now(),
        **{"needs_attention": status not in ACTIVE_SAGA_STATUSES, **changes},
    )


def test_code_database_and_documents_agree() -> None:
    accepted = pairs_the_database_accepts(SagaStatus, insert, refused_by="saga_status_moves_on")
    assert accepted == pairs_of(SAGA_TRANSITIONS) == pairs_in_documents("saga")


def test_a_failed_saga_that_was_resolved_is_never_reopened() -> None:
    saga = insert(SagaStatus.FAILED, needs_attention=False)
    with pytest.raises(IntegrityError, match="cannot become in_progress"), transaction.atomic():
        SagaInstance.objects.filter(pk=saga.pk).update(status=SagaStatus.IN_PROGRESS)
