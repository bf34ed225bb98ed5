"""One threshold decides everywhere whether a saga is stuck."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from backoffice.work_queue.models import ItemKind
from backoffice.work_queue.open_items import QueueFilter, list_open_items
from monitoring.services import run_checks
from sagas.admin import SagaInstanceAdmin, _filter_stuck
from sagas.inspection import filter_stuck
from sagas.models import SagaInstance
from sagas.thresholds import STUCK_AFTER_SECONDS

pytestmark = pytest.mark.django_db(transaction=True)


def make_due(saga, seconds: int) -> None:
    due_since = Now() - timedelta(seconds=seconds)
    SagaInstance.objects.filter(id=saga.id).update(lease_expires_at=due_since, updated_at=due_since)


@pytest.mark.parametrize(("past_the_threshold_seconds", "is_stuck"), [(-50, False), (50, True)])
def test_list_work_queue_and_check_agree(define, begin, past_the_threshold_seconds, is_stuck):
    saga = begin(define(), leased=False)
    make_due(saga, STUCK_AFTER_SECONDS + past_the_threshold_seconds)
    sagas = SagaInstance.objects.all()
    assert filter_stuck(sagas).exists() is is_stuck
    assert _filter_stuck(sagas, "yes").exists() is is_stuck
    assert bool(list_open_items(QueueFilter([ItemKind.SAGA]))) is is_stuck
    (result,) = run_checks(only=["stuck_sagas"]).results
    assert result.passed is not is_stuck
    assert any(value == "stuck=yes" for _label, value in SagaInstanceAdmin.saved_views)
