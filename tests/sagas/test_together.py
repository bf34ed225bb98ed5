"""Steps of a parallel group are called at the same time. All integrity checks run after each test."""

import threading

import pytest
from django.db import connection
from django.utils import translation

from sagas import engine, graph, operations
from sagas.definitions import EXTERNAL, LOCAL, WAITING, RetryPolicy, Step, parallel
from sagas.models import SagaStatus, SagaStep
from sagas.outcomes import CallNotFound, Failure, NeedsReview, Success, Transient, Unknown
from tests.sagas.conftest import expire_lease, reload, run_due
from tests.support.auditing import _audited  # noqa: F401
from tests.support.statements import cost
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.django_db(transaction=True)

MEMBERS = ("a", "b", "c")


@pytest.fixture
def group(fake_steps, define_steps):
    """The steps local1, then a, b and c in parallel, then call5. Only `b` has a query."""

    def _group(*, pivot="", max_retries=3, deadline_seconds=600):
        retry = RetryPolicy(max_retries=max_retries, base_seconds=0.0)

        def call(name, **options):
            undo = fake_steps.external(f"{name}:undo")
            return Step(
                name, fake_steps.external(name), kind=EXTERNAL, compensate=undo, retry=retry, **options
            )

        return define_steps(
            Step(
                "local1", fake_steps.local("local1"), kind=LOCAL, compensate=fake_steps.local("local1:undo")
            ),
            *([call("call2", pivot=True)] if pivot else []),
            *parallel(call("a"), call("b", query=fake_steps.external("b:query")), call("c")),
            call("call5"),
            deadline_seconds=deadline_seconds,
        )

    return _group


def test_the_calls_are_made_at_the_same_time(fake_steps, group, begin):
    """Each call waits for the two others, so the saga completes only if they run at the same time."""
    meeting = threading.Barrier(3)

    def meet():
        meeting.wait(PATIENCE_SECONDS)
        return Success()

    for name in MEMBERS:
        fake_steps.answers(name, meet)
    saga = engine.advance_saga(begin(group()))
    assert reload(saga).status == SagaStatus.COMPLETED
    assert sorted(fake_steps.executed[1:4]) == ["a", "b", "c"]
    assert fake_steps.executed[4:] == ["call5"]


def test_budget(group, begin):
    """A group costs what one call does: its intents are one commit, its outcomes another."""
    definition = group()
    with cost() as paid:
        engine.advance_saga(begin(definition))
    assert paid.commits == 3


def test_intents_are_committed_together_before_the_first_call(fake_steps, group, begin):
    seen = []

    def look():
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM saga_steps WHERE in_doubt")
            seen.append(cursor.fetchone()[0])
        return Success()

    fake_steps.answers("a", look)
    engine.advance_saga(begin(group()))
    assert seen == [3]


def test_a_failure_waits_for_the_group_and_is_compensated_newest_first(fake_steps, group, begin):
    failed = threading.Event()

    def fail():
        failed.set()
        return Failure("declined", "no")

    def succeed_afterwards():
        assert failed.wait(PATIENCE_SECONDS)
        return Success()

    fake_steps.answers("a", fail)
    fake_steps.answers("b", succeed_afterwards)
    fake_steps.answers("c", succeed_afterwards)
    saga = engine.advance_saga(begin(group()))
    row = reload(saga)
    assert (row.status, row.error_code) == (SagaStatus.COMPENSATED, "declined")
    assert fake_steps.executed[4:] == ["c:undo", "b:undo", "local1:undo"]


def test_a_failed_call_waits_for_a_call_in_doubt(fake_steps, group, begin):
    """No compensation starts before every outcome is known, and a call that failed for good is not repeated."""
    fake_steps.answers("a", Failure("declined", "no"))
    fake_steps.answers("b", Unknown("lost"))
    fake_steps.answers("b:query", Success({"found": True}))
    saga = engine.advance_saga(begin(group()))
    row = reload(saga)
    assert (row.status, row.direction, row.error_code) == (SagaStatus.IN_PROGRESS, "forward", "declined")
    run_due()
    assert reload(saga).status == SagaStatus.COMPENSATED
    assert fake_steps.executed[4:] == ["b:query", "c:undo", "b:undo", "local1:undo"]
    assert fake_steps.executed.count("a") == 1


def test_only_the_call_in_doubt_is_queried(fake_steps, group, begin):
    fake_steps.answers("b", Unknown("lost"))
    fake_steps.answers("b:query", CallNotFound())
    fake_steps.answers("c", Transient("busy"))
    saga = engine.advance_saga(begin(group()))
    run_due()
    assert reload(saga).status == SagaStatus.COMPLETED
    assert [fake_steps.executed.count(name) for name in MEMBERS] == [1, 2, 2]


def test_retries_of_a_group_wait_for_the_latest(fake_steps, group, begin):
    """No call of the group is repeated before the latest `retry_after` of its calls."""
    fake_steps.answers("b", Transient("busy"))
    fake_steps.answers("c", Transient("429", retry_after_seconds=300))
    saga = engine.advance_saga(begin(group()))
    run_due()
    assert [fake_steps.executed.count(name) for name in MEMBERS] == [1, 1, 1]
    steps = SagaStep.objects.filter(saga_id=saga.id, status="failed")
    assert len({step.next_retry_at for step in steps}) == 1
    assert operations.wake_saga(saga_id=saga.id)
    run_due()
    assert reload(saga).status == SagaStatus.COMPLETED


def test_a_call_with_exhausted_retries_is_compensated_in_order(fake_steps, group, begin):
    fake_steps.answers("b", *[Unknown("lost")] * 5)
    fake_steps.answers("b:query", *[Unknown("lost")] * 5)
    saga = engine.advance_saga(begin(group(max_retries=1)))
    run_due()
    assert reload(saga).error_code == "outcome_unknown"
    assert fake_steps.executed[-4:] == ["c:undo", "b:undo", "a:undo", "local1:undo"]


def test_the_deadline_ends_the_wait_for_the_group(fake_steps, group, begin):
    fake_steps.answers("a", Failure("declined", "no"))
    fake_steps.answers("b", Unknown("lost"))
    saga = engine.advance_saga(begin(group(deadline_seconds=0)))
    run_due()
    assert (reload(saga).status, reload(saga).error_code) == (SagaStatus.COMPENSATED, "declined")
    assert "b:query" not in fake_steps.executed


def test_a_group_that_fails_past_the_pivot_needs_review_and_can_be_retried(fake_steps, group, begin):
    fake_steps.answers("a", Failure("gone", "gone"))
    fake_steps.answers("c", Failure("gone", "gone"))
    saga = engine.advance_saga(begin(group(pivot="call2")))
    row = reload(saga)
    assert (row.needs_attention, row.direction) == (True, "forward")
    operations.retry_step(saga_id=saga.id, seen_revision=row.revision, actor="ana", reason="they are back")
    run_due()
    assert reload(saga).status == SagaStatus.COMPLETED
    assert [fake_steps.executed.count(name) for name in MEMBERS] == [2, 1, 2]


def test_a_group_needs_review_once_all_calls_have_ended(fake_steps, group, begin):
    fake_steps.answers("b", NeedsReview("amounts differ"))
    saga = engine.advance_saga(begin(group()))
    assert reload(saga).attention_reason == "amounts differ"
    assert SagaStep.objects.get(saga_id=saga.id, step_name="c").status == "completed"
    operations.wake_saga(saga_id=saga.id)
    run_due()
    assert reload(saga).status == SagaStatus.COMPLETED


def test_recovery_after_a_worker_died_in_one_call_of_a_group(fake_steps, group, begin):
    """No outcome is recorded: the next worker queries the step that has a query, and repeats the other calls."""
    fake_steps.answers("c", SystemExit())
    saga = begin(group())
    with pytest.raises(SystemExit):
        engine.advance_saga(saga)
    assert SagaStep.objects.filter(saga_id=saga.id, in_doubt=True).count() == 3
    expire_lease(saga.id)
    run_due()
    assert reload(saga).status == SagaStatus.COMPLETED
    assert [fake_steps.executed.count(name) for name in ("a", "b", "b:query", "c")] == [2, 1, 1, 2]


def test_a_stale_worker_records_no_call_of_a_group(fake_steps, group, begin):
    saga = begin(group())

    def another_finishes():
        expire_lease(saga.id)
        engine.resume_saga(saga.id)
        connection.close()
        return Success({"by": "the slow one"})

    fake_steps.answers("a", another_finishes)
    engine.advance_saga(saga)
    assert reload(saga).status == SagaStatus.COMPLETED
    assert SagaStep.objects.get(saga_id=saga.id, step_name="a").result != {"by": "the slow one"}


def test_steps_that_cannot_be_called_together_are_refused(fake_steps):
    def step(name, **options):
        return Step(name, fake_steps.external(name), **{"kind": EXTERNAL, **options})

    with pytest.raises(AssertionError, match="only EXTERNAL"):
        parallel(step("a"), step("b", kind=LOCAL))
    with pytest.raises(AssertionError, match="only EXTERNAL"):
        parallel(step("a"), step("b", kind=WAITING, signal="s", timeout_seconds=1))
    with pytest.raises(AssertionError, match="pivot"):
        parallel(step("a"), step("b", pivot=True))
    with pytest.raises(AssertionError, match="between 2 and 8"):
        parallel(*(step(str(number)) for number in range(9)))


def test_a_group_is_drawn(group):
    with translation.override("en"):
        drawn = graph.draw_definition(group())
    assert "├─ in parallel" in drawn
    assert drawn.index("in parallel") < drawn.index("2 a ") < drawn.index("3 b ") < drawn.index("4 c ")
