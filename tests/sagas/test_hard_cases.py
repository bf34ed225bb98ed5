"""Well-known failures of sagas, each under its name. All integrity checks run after each test."""

import dataclasses

import pytest
from django.db import connection

from sagas import engine, registry
from sagas.definitions import EXTERNAL, Step
from sagas.models import SagaEvent, SagaStatus, SagaStep
from sagas.outcomes import CallNotFound, Failure, Success, Unknown
from tests.sagas.conftest import expire_lease, reload, run_due
from tests.support.auditing import _audited  # noqa: F401
from tests.support.sagas import claim_all

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_call_that_never_arrived_is_compensated(fake_steps, define, begin):
    """The call never arrived and no query is answered: the outcome is unknown, so the step is compensated."""
    fake_steps.answers("call2", Unknown("lost before it arrived"))
    fake_steps.answers("call2:query", *[Unknown("lost")] * 3)
    saga = engine.advance_saga(begin(define(max_retries=1)))
    run_due()
    assert fake_steps.executed[-2:] == ["call2:undo", "local1:undo"]
    assert reload(saga).status == SagaStatus.COMPENSATED


def test_a_step_in_doubt_is_compensated_before_older_steps(fake_steps, define, begin):
    fake_steps.answers("call4", *[Unknown("lost")] * 3)
    saga = engine.advance_saga(begin(define(max_retries=1)))
    run_due()
    assert fake_steps.executed[-4:] == ["call4:undo", "local3:undo", "call2:undo", "local1:undo"]
    assert reload(saga).status == SagaStatus.COMPENSATED


def test_an_unknown_outcome_is_not_a_failure(fake_steps, define, begin):
    """The call succeeded and its answer was lost: nothing is compensated, and the query of the next worker finds it."""
    fake_steps.answers("call2", Unknown("lost"))
    fake_steps.answers("call2:query", Success({"found": True}))
    saga = engine.advance_saga(begin(define()))
    run_due()
    assert reload(saga).status == SagaStatus.COMPLETED
    assert fake_steps.executed.count("call2") == 1


def test_a_call_is_repeated_with_the_same_key_after_the_lease_expired(fake_steps, define, begin):
    """The slow worker's call returns while another worker holds the saga: the slow worker writes nothing."""
    slow = begin(define())

    def another_takes_over():
        expire_lease(slow.id)
        assert [saga.id for saga in claim_all()] == [slow.id]
        return Success({"by": "the slow one"})

    fake_steps.answers("call2", another_takes_over)
    engine.advance_saga(slow)
    assert SagaStep.objects.get(saga_id=slow.id, step_name="call2").result is None
    expire_lease(slow.id)
    run_due()
    row = reload(slow)
    assert row.status == SagaStatus.COMPLETED
    assert set(SagaEvent.objects.filter(saga_id=slow.id).values_list("fence", flat=True)) == {1, row.fence}


def test_a_stale_worker_cannot_end_a_saga_that_another_worker_ended(fake_steps, define, begin):
    slow = begin(define())

    def another_finishes():
        expire_lease(slow.id)
        engine.resume_saga(slow.id)
        return Success({"by": "the slow one"})

    fake_steps.answers("call4", another_finishes)
    engine.advance_saga(slow)
    assert reload(slow).status == SagaStatus.COMPLETED


def test_a_lease_is_renewed_with_every_commit(fake_steps, define, begin):
    """No other worker can claim a saga of many calls while its worker makes progress."""
    saga = begin(define())
    offered = []

    def the_lease_runs_out_before_the_commit():
        expire_lease(saga.id)
        return Success()

    def somebody_claims():
        offered.extend(claim_all())
        return Success()

    fake_steps.answers("call2", the_lease_runs_out_before_the_commit)
    fake_steps.answers("call4", somebody_claims)
    engine.advance_saga(saga)
    assert offered == []
    assert reload(saga).fence == 1


def test_a_saga_with_an_expired_lease_is_claimed(fake_steps, define, begin):
    """The worker was killed during its call. No wake-up hint is sent."""
    fake_steps.answers("call2", SystemExit())
    fake_steps.answers("call2:query", CallNotFound())
    saga = begin(define())
    with pytest.raises(SystemExit):
        engine.advance_saga(saga)
    expire_lease(saga.id)
    run_due()
    assert reload(saga).status == SagaStatus.COMPLETED


def test_no_wakeup_is_needed(fake_steps, define, begin):
    saga = begin(define(), leased=False)
    assert fake_steps.executed == []
    run_due()
    assert reload(saga).status == SagaStatus.COMPLETED


def test_an_open_saga_keeps_the_version_it_started_with(fake_steps, define, begin):
    """Sagas of version 1 complete or compensate with the steps of version 1. New sagas have version 2."""
    first = define()
    old, declined = begin(first, leased=False), begin(first, leased=False)
    steps = (*first.steps[:2], Step("check5", fake_steps.external("check5"), kind=EXTERNAL))
    second = registry.register(dataclasses.replace(first, version=2, steps=steps))
    try:
        new = begin(second, leased=False)
        fake_steps.answers("call4", Success(), Failure("declined", "no"))
        run_due()
        names = {
            saga.id: list(SagaStep.objects.filter(saga_id=saga.id).values_list("step_name", flat=True))
            for saga in (old, declined, new)
        }
        assert names[old.id] == names[declined.id] == ["local1", "call2", "local3", "call4"]
        assert names[new.id] == ["local1", "call2", "check5"]
        ends = sorted([reload(old).status, reload(declined).status])
        assert ends == [SagaStatus.COMPENSATED, SagaStatus.COMPLETED]
        assert reload(new).status == SagaStatus.COMPLETED
        assert fake_steps.executed.count("check5") == 1
    finally:
        registry._definitions.pop((second.name, 2))


def test_only_the_clock_of_the_database_counts(fake_steps, define, begin, monkeypatch: pytest.MonkeyPatch):
    """A process whose clock is wrong by an hour neither claims a saga too early nor loses its lease."""
    for drift in (3600.0, -3600.0):
        saga = begin(define())
        with monkeypatch.context() as patched:
            patched.setattr("time.time", lambda drift=drift: drift)
            patched.setattr("time.monotonic", lambda drift=drift: drift + 10_000)
            assert claim_all() == []
            assert engine.resume_saga(saga.id) is None
            engine.advance_saga(saga)
        assert reload(saga).status == SagaStatus.COMPLETED
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM saga_events WHERE created_at > clock_timestamp()")
        assert cursor.fetchone() == (0,)
