"""Celery beat's sweep resumes due sagas of every task queue while no `run_sagas` worker runs."""

import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import transaction
from django.db.models import F

from payment_platform.celery import app
from sagas import sweep
from sagas.definitions import Definition
from sagas.models import SagaInstance, SagaStatus
from sagas.outcomes import Failure, Transient
from sagas.start import start_saga
from sagas.sweep import MISSED_POLLS
from sagas.tasks import sweep_sagas
from tests.sagas.conftest import FakeSteps
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.django_db(transaction=True)
Begin = Callable[[str], uuid.UUID]


@pytest.fixture(autouse=True)
def _on_a_slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a slow machine too, a sweep claims all due sagas: it claims none after SWEEP_SECONDS."""
    monkeypatch.setattr(sweep, "SWEEP_SECONDS", PATIENCE_SECONDS)


@pytest.fixture
def waiting(define: Callable[..., Definition]) -> Begin:
    """A saga that waits for a worker."""
    definition = define()

    def _waiting(queue: str) -> uuid.UUID:
        saga_id = uuid.uuid4()
        with transaction.atomic():
            start_saga(
                definition,
                saga_id=saga_id,
                business_id=str(saga_id),
                data={},
                leased=False,
                task_queue=queue,
            )
        return saga_id

    return _waiting


def let_polls_be_missed() -> None:
    """Makes every due saga due for longer than workers take to poll."""
    late = timedelta(seconds=(MISSED_POLLS + 1) * settings.SAGA_SWEEP_SECONDS)
    SagaInstance.objects.filter(lease_expires_at__isnull=False).update(
        lease_expires_at=F("lease_expires_at") - late
    )
    SagaInstance.objects.filter(retry_at__isnull=False).update(retry_at=F("retry_at") - late)


def status_of(saga_id: uuid.UUID) -> str:
    return SagaInstance.objects.get(id=saga_id).status


def test_beat_sweeps_as_often_as_workers_poll() -> None:
    entry = app.conf.beat_schedule["sagas.sweep"]
    assert entry["task"] in app.tasks
    assert entry["schedule"] == settings.SAGA_SWEEP_SECONDS
    assert entry["options"]["queue"] in {queue.name for queue in settings.CELERY_TASK_QUEUES}


def test_the_sweep_finishes_due_sagas_of_every_queue(waiting: Begin) -> None:
    sagas = [waiting(queue) for queue in settings.SAGA_TASK_QUEUES]
    let_polls_be_missed()
    assert sweep_sagas() == len(sagas)
    assert {status_of(saga_id) for saga_id in sagas} == {SagaStatus.COMPLETED}


def test_one_sweep_at_a_time_in_a_process(waiting: Begin) -> None:
    """A second sweep returns at once, so that the other threads of the worker stay free for other periodic tasks."""
    saga_id = waiting("test")
    let_polls_be_missed()
    with sweep._sweeping:
        assert sweep_sagas() == 0
    assert sweep_sagas() == 1
    assert status_of(saga_id) == SagaStatus.COMPLETED


def test_the_sweep_leaves_newly_due_sagas_to_workers(waiting: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "SAGA_SWEEP_SECONDS", 60)  # sagas count as newly due for minutes
    saga_id = waiting("test")
    assert sweep_sagas() == 0
    assert status_of(saga_id) == SagaStatus.PENDING


def test_the_sweep_retries_and_then_compensates(waiting: Begin, fake_steps: FakeSteps) -> None:
    fake_steps.answers("call2", Transient("busy"), Failure("refused", "no"))
    saga_id = waiting("test")
    let_polls_be_missed()
    assert sweep_sagas() == 1
    assert status_of(saga_id) == SagaStatus.IN_PROGRESS
    let_polls_be_missed()
    assert sweep_sagas() == 1
    assert status_of(saga_id) == SagaStatus.COMPENSATED
    assert fake_steps.executed == ["local1", "call2", "call2", "local1:undo"]
