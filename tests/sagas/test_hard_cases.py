"""What is known to go wrong in sagas, each by its name. After each test the auditor looks at the books."""

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


def test_null_compensation(world, define, begin):
    """The call never arrived, nobody can tell, and its compensation is asked for all the same."""
    world.answers("call2", Unknown("lost before it arrived"))
    world.answers("call2:query", *[Unknown("lost")] * 3)
    saga = engine.advance_saga(begin(define(max_count=1)))
    run_due()
    assert world.happened[-2:] == ["call2:undo", "local1:undo"]
    assert reload(saga).status == SagaStatus.COMPENSATED


def test_compensation_reverses_a_step_in_doubt_before_the_older_ones(world, define, begin):
    world.answers("call4", *[Unknown("lost")] * 3)
    saga = engine.advance_saga(begin(define(max_count=1)))
    run_due()
    assert world.happened[-4:] == ["call4:undo", "local3:undo", "call2:undo", "local1:undo"]
    assert reload(saga).status == SagaStatus.COMPENSATED


def test_unknown_is_no_failure(world, define, begin):
    """It happened and its answer was lost: nothing is rolled back, the next worker finds it."""
    world.answers("call2", Unknown("lost"))
    world.answers("call2:query", Success({"found": True}))
    saga = engine.advance_saga(begin(define()))
    run_due()
    assert reload(saga).status == SagaStatus.COMPLETED
    assert world.happened.count("call2") == 1


def test_double_execution_after_lease_expiry(world, define, begin):
    """The slow worker wakes up in its call when another is in the middle of the saga: it writes nothing."""
    slow = begin(define())

    def another_takes_over():
        expire_lease(slow.id)
        assert [saga.id for saga in claim_all()] == [slow.id]
        return Success({"by": "the slow one"})

    world.answers("call2", another_takes_over)
    engine.advance_saga(slow)
    assert SagaStep.objects.get(saga_id=slow.id, step_name="call2").result is None
    expire_lease(slow.id)
    run_due()
    row = reload(slow)
    assert row.status == SagaStatus.COMPLETED
    assert set(SagaEvent.objects.filter(saga_id=slow.id).values_list("fence", flat=True)) == {1, row.fence}


def test_the_slow_worker_ends_its_saga_under_another_that_ended_it_too(world, define, begin):
    slow = begin(define())

    def another_finishes():
        expire_lease(slow.id)
        engine.resume_saga(slow.id)
        return Success({"by": "the slow one"})

    world.answers("call4", another_finishes)
    engine.advance_saga(slow)
    assert reload(slow).status == SagaStatus.COMPLETED


def test_a_lease_is_renewed_with_every_commit(world, define, begin):
    """A saga of many calls is not taken from the worker that is still on it."""
    saga = begin(define())
    offered = []

    def the_lease_runs_out_before_the_commit():
        expire_lease(saga.id)
        return Success()

    def somebody_claims():
        offered.extend(claim_all())
        return Success()

    world.answers("call2", the_lease_runs_out_before_the_commit)
    world.answers("call4", somebody_claims)
    engine.advance_saga(saga)
    assert offered == []
    assert reload(saga).fence == 1


def test_a_saga_with_an_expired_lease_is_claimed(world, define, begin):
    """Killed in its call, and nobody sends a hint."""
    world.answers("call2", SystemExit())
    world.answers("call2:query", CallNotFound())
    saga = begin(define())
    with pytest.raises(SystemExit):
        engine.advance_saga(saga)
    expire_lease(saga.id)
    run_due()
    assert reload(saga).status == SagaStatus.COMPLETED


def test_no_hint_is_needed(world, define, begin):
    saga = begin(define(), leased=False)
    assert world.happened == []
    run_due()
    assert reload(saga).status == SagaStatus.COMPLETED


def test_a_definition_that_changes_under_running_sagas(world, define, begin):
    """Who began with version 1 ends with its steps, forward or back; who begins now has version 2."""
    first = define()
    old, turned_back = begin(first, leased=False), begin(first, leased=False)
    steps = (*first.steps[:2], Step("check5", world.external("check5"), kind=EXTERNAL))
    second = registry.register(dataclasses.replace(first, version=2, steps=steps))
    try:
        new = begin(second, leased=False)
        world.answers("call4", Success(), Failure("declined", "no"))
        run_due()
        names = {
            saga.id: list(SagaStep.objects.filter(saga_id=saga.id).values_list("step_name", flat=True))
            for saga in (old, turned_back, new)
        }
        assert names[old.id] == names[turned_back.id] == ["local1", "call2", "local3", "call4"]
        assert names[new.id] == ["local1", "call2", "check5"]
        ends = sorted([reload(old).status, reload(turned_back).status])
        assert ends == [SagaStatus.COMPENSATED, SagaStatus.COMPLETED]
        assert reload(new).status == SagaStatus.COMPLETED
        assert world.happened.count("check5") == 1
    finally:
        registry._definitions.pop((second.name, 2))


def test_time_is_the_databases(world, define, begin, monkeypatch: pytest.MonkeyPatch):
    """A process whose clock is an hour off neither takes a lease nor loses one."""
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
