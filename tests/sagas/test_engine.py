"""The engine on a real database: which rows each commit writes, and which worker may write them."""

import uuid
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from sagas import engine, operations, store
from sagas.definitions import EXTERNAL, Step
from sagas.models import Direction, SagaEvent, SagaInstance, SagaStatus, SagaStep, StepStatus
from sagas.outcomes import (
    AlreadySucceeded,
    CallNotFound,
    Failure,
    NeedsReview,
    StepFailed,
    Success,
    Transient,
    Unknown,
)
from sagas.planner import MAX_CLAIMS_WITHOUT_PROGRESS
from sagas.start import start_saga
from tests.sagas.conftest import expire_lease, reload
from tests.support.sagas import claim_all, run_due
from tests.support.statements import cost

pytestmark = pytest.mark.django_db(transaction=True)


def statuses(saga):
    return [step.status for step in SagaStep.objects.filter(saga_id=saga.id)]


def test_runs_every_step_in_order_and_completes(fake_steps, define, begin):
    saga = engine.advance_saga(begin(define()))
    assert fake_steps.executed == ["local1", "call2", "local3", "call4"]
    row = reload(saga)
    assert (row.status, row.current_step, row.lease_expires_at) == (SagaStatus.COMPLETED, 4, None)
    assert row.completed_at is not None
    assert statuses(saga) == [StepStatus.COMPLETED] * 4


def test_two_calls_cost_three_commits(define, begin):
    """The third commit is a single statement: after the second call, only the saga's row is written."""
    definition = define()
    with cost() as paid:
        engine.advance_saga(begin(definition))
    assert (paid.commits, paid.sql.count("BEGIN")) == (3, 2)


def test_calls_that_follow_each_other_cost_one_statement_each(fake_steps, define_steps, begin):
    definition = define_steps(
        *(Step(name, fake_steps.external(name), kind=EXTERNAL) for name in ("call1", "call2", "call3"))
    )
    saga = begin(definition)
    with cost() as paid:
        assert engine.advance_saga(saga).status == SagaStatus.COMPLETED
    assert (paid.commits, len(paid.sql)) == (3, 3)


def test_a_cancellation_between_calls_that_follow_each_other_is_noticed(fake_steps, define_steps, begin):
    definition = define_steps(
        *(
            Step(
                name, fake_steps.external(name), kind=EXTERNAL, compensate=fake_steps.external(f"{name}:undo")
            )
            for name in ("call1", "call2")
        )
    )

    def cancel_meanwhile():
        assert operations.request_saga_cancellation(saga_id=saga.id)
        return Success()

    fake_steps.answers("call1", cancel_meanwhile)
    saga = begin(definition)
    assert engine.advance_saga(saga).status == SagaStatus.COMPENSATED
    assert fake_steps.executed == ["call1", "call1:undo"]


def test_a_stale_worker_writes_nothing_after_calls_that_follow_each_other(fake_steps, define_steps, begin):
    definition = define_steps(
        *(Step(name, fake_steps.external(name), kind=EXTERNAL) for name in ("call1", "call2"))
    )

    def lose_the_lease():
        SagaInstance.objects.filter(id=saga.id).update(fence=F("fence") + 1)
        return Success({"by": "stale"})

    fake_steps.answers("call1", lose_the_lease)
    saga = begin(definition)
    engine.advance_saga(saga)
    assert fake_steps.executed == ["call1"]
    assert SagaStep.objects.get(saga_id=saga.id, step_name="call1").result is None


def test_intent_is_committed_before_the_call(fake_steps, define, begin):
    seen = []

    def look():
        with connection.cursor() as cursor:
            cursor.execute("SELECT status, in_doubt FROM saga_steps WHERE step_name = 'call2'")
            seen.append(cursor.fetchone())
        return Success()

    fake_steps.answers("call2", look)
    engine.advance_saga(begin(define()))
    assert seen == [("pending", True)]


def test_a_saga_exists_only_if_its_caller_commits(define):
    definition = define()
    saga_id = uuid.uuid4()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        start_saga(definition, saga_id=saga_id, business_id="B", data={})
        raise ZeroDivisionError
    assert not SagaInstance.objects.filter(id=saga_id).exists()


def test_a_definite_failure_compensates_in_reverse_order(fake_steps, define, begin):
    fake_steps.answers("call4", Failure("declined", "no"))
    saga = engine.advance_saga(begin(define()))
    assert fake_steps.executed[4:] == ["local3:undo", "call2:undo", "local1:undo"]
    row = reload(saga)
    assert (row.status, row.error_code) == (SagaStatus.COMPENSATED, "declined")
    assert row.compensated_at is not None
    assert statuses(saga) == ["compensated", "compensated", "compensated", "failed"]


def test_a_definite_failure_is_not_retried(fake_steps, define, begin):
    fake_steps.answers("call2", Failure("declined", "no"))
    engine.advance_saga(begin(define()))
    assert fake_steps.executed == ["local1", "call2", "local1:undo"]


def test_an_unknown_outcome_waits_as_a_failed_step_and_then_queries_first(fake_steps, define, begin):
    fake_steps.answers("call2", Unknown("timeout"))
    fake_steps.answers("call2:query", Success({"found": True}))
    saga = engine.advance_saga(begin(define()))
    step = SagaStep.objects.get(saga_id=saga.id, step_name="call2")
    assert (step.status, step.in_doubt, step.retry_count) == ("failed", True, 1)
    assert step.next_retry_at is not None
    assert reload(saga).lease_expires_at is None
    run_due()
    assert fake_steps.executed == ["local1", "call2", "call2:query", "local3", "call4"]
    assert reload(saga).status == SagaStatus.COMPLETED


def test_a_call_that_is_not_found_is_repeated_with_the_same_key(fake_steps, define, begin):
    fake_steps.answers("call2", Unknown("reset"))
    fake_steps.answers("call2:query", CallNotFound())
    saga = engine.advance_saga(begin(define()))
    run_due()
    assert fake_steps.executed.count("call2") == 2
    assert reload(saga).status == SagaStatus.COMPLETED


def test_exhausted_retries_compensate_the_step_in_doubt_too(fake_steps, define, begin):
    fake_steps.answers("call2", Unknown("1"))
    fake_steps.answers("call2:query", *[Unknown("still")] * 5)
    saga = engine.advance_saga(begin(define(max_retries=2)))
    run_due()
    assert fake_steps.executed == [
        "local1",
        "call2",
        "call2:query",
        "call2:query",
        "call2:undo",
        "local1:undo",
    ]
    assert reload(saga).status == SagaStatus.COMPENSATED


def test_a_payment_that_turns_out_paid_goes_forward(fake_steps, define, begin):
    fake_steps.answers("call2", *[Unknown("lost")])
    fake_steps.answers("call2:query", *[Unknown("lost")] * 5)
    fake_steps.answers("call2:undo", AlreadySucceeded({"paid": True}))
    saga = engine.advance_saga(begin(define(max_retries=1)))
    run_due()
    row = reload(saga)
    assert (row.status, row.direction, row.past_pivot) == (SagaStatus.COMPLETED, Direction.FORWARD, True)
    assert "local1:undo" not in fake_steps.executed
    assert fake_steps.executed[-2:] == ["local3", "call4"]


def test_transient_failures_spend_retries_and_our_own_refusals_do_not(fake_steps, define, begin):
    fake_steps.answers("call2", *[Transient("breaker open", spends_attempt=False)] * 10, Transient("429"))
    saga = engine.advance_saga(begin(define(max_retries=1)))
    run_due()
    assert reload(saga).status == SagaStatus.COMPLETED


def test_retry_after_is_respected(fake_steps, define, begin):
    fake_steps.answers("call2", Transient("429", retry_after_seconds=300))
    saga = engine.advance_saga(begin(define()))
    run_due()
    assert fake_steps.executed.count("call2") == 1
    step = SagaStep.objects.get(saga_id=saga.id, step_name="call2")
    assert 200 < (step.next_retry_at - reload(saga).updated_at).total_seconds() <= 301


def test_a_local_step_that_refuses_keeps_the_outcome_before_it(fake_steps, define, begin):
    fake_steps.answers("local3", StepFailed("full", "no room"), StepFailed("full", "no room"))
    saga = engine.advance_saga(begin(define()))
    assert fake_steps.executed == ["local1", "call2", "local3", "call2:undo", "local1:undo"]
    assert reload(saga).error_code == "full"
    assert SagaStep.objects.get(saga_id=saga.id, step_name="call2").result == {"by": "call2"}


def test_a_failure_after_the_pivot_needs_review(fake_steps, define, begin):
    fake_steps.answers("call4", Failure("gone", "gone"))
    saga = engine.advance_saga(begin(define(pivot="call2")))
    row = reload(saga)
    assert (row.status, row.needs_attention, row.direction) == (
        SagaStatus.IN_PROGRESS,
        True,
        Direction.FORWARD,
    )
    run_due()
    assert not [name for name in fake_steps.executed if name.endswith(":undo")]


def test_a_pivot_in_doubt_is_never_compensated(fake_steps, define, begin):
    fake_steps.answers("call4", *[Unknown("?")] * 9)
    saga = engine.advance_saga(begin(define(pivot="call4")))
    run_due()
    row = reload(saga)
    assert (row.status, row.needs_attention) == (SagaStatus.IN_PROGRESS, True)
    assert not [name for name in fake_steps.executed if name.endswith(":undo")]


def test_a_compensation_is_retried_and_then_needs_review(fake_steps, define, begin):
    fake_steps.answers("call4", Failure("no", "no"))
    fake_steps.answers("call2:undo", *[Unknown("?")] * 9)
    saga = engine.advance_saga(begin(define(max_retries=2)))
    run_due()
    row = reload(saga)
    assert (row.status, row.needs_attention) == (SagaStatus.FAILED, True)
    assert fake_steps.executed.count("call2:undo") == 3
    assert "local1:undo" not in fake_steps.executed


def test_a_saga_that_needs_review_queries_again_when_woken(fake_steps, define, begin):
    fake_steps.answers("call2", NeedsReview("amounts differ"))
    saga = engine.advance_saga(begin(define()))
    assert reload(saga).attention_reason == "amounts differ"
    run_due()
    assert fake_steps.executed == ["local1", "call2"]
    assert operations.wake_saga(saga_id=saga.id)
    run_due()
    assert fake_steps.executed[2] == "call2:query"
    assert reload(saga).status == SagaStatus.COMPLETED


def test_deadline_before_the_pivot_compensates(fake_steps, define, begin):
    fake_steps.answers("call2", Transient("busy"))
    saga = engine.advance_saga(begin(define(deadline_seconds=0)))
    run_due()
    row = reload(saga)
    assert (row.status, row.error_code) == (SagaStatus.COMPENSATED, "deadline_passed")
    assert fake_steps.executed == ["local1", "call2", "local1:undo"]


def test_deadline_after_the_pivot_goes_forward(fake_steps, define, begin):
    fake_steps.answers("call4", Transient("busy"))
    saga = engine.advance_saga(begin(define(deadline_seconds=0, pivot="call2")))
    run_due()
    assert reload(saga).status == SagaStatus.COMPLETED


def test_a_cancellation_compensates_a_waiting_saga(fake_steps, define, begin):
    fake_steps.answers("call2", Unknown("?"))
    saga = engine.advance_saga(begin(define()))
    operations.request_saga_cancellation(saga_id=saga.id)
    run_due()
    assert reload(saga).error_code == "cancel_requested"
    assert fake_steps.executed == ["local1", "call2", "call2:undo", "local1:undo"]


@pytest.mark.parametrize("call", ["call2", "call4"])
def test_a_cancellation_during_a_call_is_noticed_at_its_commit(fake_steps, define, begin, call):
    """This holds for the last call too: a saga whose cancellation was accepted never completes."""
    saga = begin(define())

    def cancel_meanwhile():
        assert operations.request_saga_cancellation(saga_id=saga.id)
        return Success()

    fake_steps.answers(call, cancel_meanwhile)
    engine.advance_saga(saga)
    assert (reload(saga).status, reload(saga).error_code) == (SagaStatus.COMPENSATED, "cancel_requested")
    assert fake_steps.executed[-1] == "local1:undo"


def test_a_cancellation_past_the_pivot_changes_nothing(fake_steps, define, begin):
    saga = begin(define(pivot="call2"))

    def cancel_meanwhile():
        operations.request_saga_cancellation(saga_id=saga.id)
        return Success()

    fake_steps.answers("call4", cancel_meanwhile)
    engine.advance_saga(saga)
    assert reload(saga).status == SagaStatus.COMPLETED


class TestFencing:
    def test_a_worker_that_lost_its_lease_writes_nothing(self, fake_steps, define, begin):
        """The slow worker's call returns when its lease has expired and another worker has finished the saga."""
        slow = begin(define())

        def another_worker_takes_over():
            expire_lease(slow.id)
            engine.resume_saga(slow.id)
            return Success({"by": "the slow one"})

        fake_steps.answers("call2", another_worker_takes_over)
        engine.advance_saga(slow)
        row = reload(slow)
        assert row.status == SagaStatus.COMPLETED
        assert SagaStep.objects.get(saga_id=slow.id, step_name="call2").result != {"by": "the slow one"}
        assert SagaEvent.objects.filter(saga_id=slow.id, step_name="local3").count() == 1
        assert set(SagaEvent.objects.filter(saga_id=slow.id).values_list("fence", flat=True)) == {
            1,
            row.fence,
        }

    def test_business_rows_of_a_lost_lease_are_rolled_back(self, fake_steps, define, begin):
        slow = begin(define())

        def lose_lease():
            expire_lease(slow.id)
            assert store.claim_saga(slow.id) is not None
            return Success()

        fake_steps.answers("call2", lose_lease)
        events_before = SagaEvent.objects.filter(saga_id=slow.id).count()
        engine.advance_saga(slow)
        assert SagaEvent.objects.filter(saga_id=slow.id).count() == events_before

    def test_a_held_saga_is_not_claimed(self, define, begin):
        saga = begin(define())
        assert store.claim_saga(saga.id) is None
        assert claim_all() == []

    def test_a_due_saga_is_claimed_once(self, define, begin):
        saga = begin(define(), leased=False)
        (claimed,) = claim_all()
        assert (claimed.id, claimed.fence) == (saga.id, saga.fence + 1)
        assert claim_all() == []
        assert store.claim_saga(saga.id) is None

    def test_a_saga_whose_worker_died_is_due_again_after_the_lease(self, fake_steps, define, begin):
        saga = begin(define(), leased=False)
        claim_all()
        expire_lease(saga.id)
        run_due()
        assert reload(saga).status == SagaStatus.COMPLETED

    def test_late_wakeups_are_harmless(self, fake_steps, define, begin):
        saga = engine.advance_saga(begin(define()))
        for _again in range(3):
            assert engine.resume_saga(saga.id) is None
        assert fake_steps.executed == ["local1", "call2", "local3", "call4"]


def test_the_worker_after_a_killed_one_queries_first(fake_steps, define, begin):
    fake_steps.answers("call2", SystemExit("the process dies inside the call"))
    saga = begin(define())
    with pytest.raises(SystemExit):
        engine.advance_saga(saga)
    fake_steps.answers("call2:query", Success())
    expire_lease(saga.id)
    run_due()
    assert fake_steps.executed == ["local1", "call2", "call2:query", "local3", "call4"]


def test_a_poison_saga_needs_review(fake_steps, define, begin):
    fake_steps.answers("call2", SystemExit())
    fake_steps.answers("call2:query", *[SystemExit()] * 50)
    saga = begin(define())
    for _claim in range(12):
        try:
            engine.advance_saga(saga) if _claim == 0 else engine.resume_saga(saga.id)
        except SystemExit:
            expire_lease(saga.id)
    row = reload(saga)
    assert row.needs_attention
    assert "without progress" in row.attention_reason
    assert fake_steps.executed.count("call2:query") == 5


def test_a_saga_of_a_newer_release_is_left_to_its_workers(fake_steps, define, begin):
    """Claims by workers of this release do not count towards the limit of claims without progress."""
    saga = begin(define(), leased=False)
    SagaInstance.objects.filter(id=saga.id).update(definition_version=99)
    for _claim in range(MAX_CLAIMS_WITHOUT_PROGRESS + 1):
        run_due()
        row = reload(saga)
        assert (row.status, row.needs_attention, row.lease_owner) == (SagaStatus.IN_PROGRESS, False, "")
        assert row.due_at > timezone.now()
        expire_lease(saga.id)
    SagaInstance.objects.filter(id=saga.id).update(definition_version=1)
    run_due()
    assert reload(saga).status == SagaStatus.COMPLETED


def test_a_saga_of_a_release_that_was_rolled_back_needs_review(define, begin):
    saga = begin(define(), leased=False)
    long_ago = Now() - timedelta(seconds=store.ROLL_OUT_SECONDS)
    SagaInstance.objects.filter(id=saga.id).update(definition_version=99, created_at=long_ago)
    run_due()
    row = reload(saga)
    assert (row.status, row.needs_attention, row.due_at) == (SagaStatus.IN_PROGRESS, True, None)
    assert "version 99" in row.attention_reason


def test_on_release_commits_with_the_outcome(fake_steps, define, begin):
    saga = begin(define())

    def fail_on_release(_saga):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        engine.advance_saga(saga, on_release=fail_on_release)
    assert reload(saga).status == SagaStatus.IN_PROGRESS


def test_one_open_saga_per_definition_and_business_object(define, begin):
    definition = define()
    saga = begin(definition, leased=False)
    with pytest.raises(DatabaseError, match="saga_one_open_per_business_object"), transaction.atomic():
        start_saga(
            definition,
            saga_id=uuid.uuid4(),
            business_id=f"B-{saga.id}",
            data={},
            leased=False,
        )


def test_history_cannot_be_changed(define, begin):
    saga = engine.advance_saga(begin(define()))
    with pytest.raises(DatabaseError, match="append-only"):
        SagaEvent.objects.filter(saga_id=saga.id).update(outcome="success")


def test_documents_retry_query_lists_exactly_the_due_steps(fake_steps, define, begin):
    query = """SELECT * FROM saga_steps
        WHERE status = 'failed' AND next_retry_at IS NOT NULL AND next_retry_at <= NOW() LIMIT 10"""

    def due():
        with connection.cursor() as cursor:
            cursor.execute(query)
            return len(cursor.fetchall())

    fake_steps.answers("call2", Unknown("?"))
    engine.advance_saga(begin(define()))
    assert due() == 1
    run_due()
    assert due() == 0


def test_a_wait_for_the_other_system_extends_the_deadline(fake_steps, define, begin):
    """The step waits for an hour, beyond the saga's deadline, and spends no attempt."""
    wait = Transient("not decided yet", 3600, spends_attempt=False, extends_deadline=True)
    fake_steps.answers("call2", wait)
    saga = engine.advance_saga(begin(define(deadline_seconds=600, max_retries=0)))
    row = reload(saga)
    assert 4100 < (row.deadline_at - row.created_at).total_seconds() < 4260
    assert SagaStep.objects.get(saga_id=saga.id, step_name="call2").retry_count == 0
    SagaStep.objects.filter(saga_id=saga.id, step_name="call2").update(next_retry_at=Now())
    run_due()
    assert reload(saga).status == SagaStatus.COMPLETED


def test_waking_a_saga_again_and_again_extends_its_deadline_once(fake_steps, define, begin):
    wait = Transient("not decided yet", 3600, spends_attempt=False, extends_deadline=True)
    fake_steps.answers("call2", wait, wait, wait)
    saga = engine.advance_saga(begin(define(deadline_seconds=600)))
    for _again in range(2):
        assert operations.wake_saga(saga_id=saga.id)
        run_due()
    row = reload(saga)
    assert (row.deadline_at - row.created_at).total_seconds() < 4260
    assert fake_steps.executed.count("call2") == 3


def test_a_saga_can_have_a_deadline_of_its_own(define):
    saga_id = uuid.uuid4()
    with transaction.atomic():
        start_saga(define(), saga_id=saga_id, business_id="B", data={}, deadline_seconds=60, leased=False)
    row = SagaInstance.objects.get(id=saga_id)
    assert 59 < (row.deadline_at - row.created_at).total_seconds() < 61
