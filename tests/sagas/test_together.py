"""Calls that are made at the same time. After each test the auditor looks at the books."""

import threading

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from sagas import engine, graph, operations
from sagas.definitions import EXTERNAL, LOCAL, WAITING, RetryPolicy, Step, together
from sagas.models import SagaStatus, SagaStep
from sagas.outcomes import CallNotFound, Failure, NeedsReview, Success, Transient, Unknown
from tests.sagas.conftest import expire_lease, reload, run_due
from tests.support.auditing import _audited  # noqa: F401

pytestmark = pytest.mark.django_db(transaction=True)

MEMBERS = ("a", "b", "c")


@pytest.fixture
def group(world, define_steps):
    """local1, then a, b and c together, then call5; `b` can be asked."""

    def _group(*, pivot="", max_count=3, deadline_seconds=600):
        retry = RetryPolicy(max_count=max_count, base_seconds=0.0)

        def call(name, **options):
            undo = world.external(f"{name}:undo")
            return Step(name, world.external(name), kind=EXTERNAL, compensate=undo, retry=retry, **options)

        return define_steps(
            Step("local1", world.local("local1"), kind=LOCAL, compensate=world.local("local1:undo")),
            *([call("call2", pivot=True)] if pivot else []),
            *together(call("a"), call("b", query=world.external("b:query")), call("c")),
            call("call5"),
            deadline_seconds=deadline_seconds,
        )

    return _group


def test_the_calls_are_made_at_the_same_time(world, group, begin):
    """Each waits for the others: one after the other they would never all be there."""
    meeting = threading.Barrier(3)

    def meet():
        meeting.wait(30)
        return Success()

    for name in MEMBERS:
        world.answers(name, meet)
    saga = engine.advance_saga(begin(group()))
    assert reload(saga).status == SagaStatus.COMPLETED
    assert sorted(world.happened[1:4]) == ["a", "b", "c"]
    assert world.happened[4:] == ["call5"]


def test_budget(group, begin):
    """A group costs what one call does: its intents are one commit, its outcomes another."""
    definition = group()
    with CaptureQueriesContext(connection) as captured:
        engine.advance_saga(begin(definition))
    assert sum(query["sql"] == "COMMIT" for query in captured) == 3


def test_intents_are_committed_together_before_the_first_call(world, group, begin):
    seen = []

    def look():
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM saga_steps WHERE in_doubt")
            seen.append(cursor.fetchone()[0])
        return Success()

    world.answers("a", look)
    engine.advance_saga(begin(group()))
    assert seen == [3]


def test_one_that_fails_waits_for_the_rest_and_all_is_undone_newest_first(world, group, begin):
    failed = threading.Event()

    def fail():
        failed.set()
        return Failure("declined", "no")

    def succeed_afterwards():
        assert failed.wait(30)
        return Success()

    world.answers("a", fail)
    world.answers("b", succeed_afterwards)
    world.answers("c", succeed_afterwards)
    saga = engine.advance_saga(begin(group()))
    row = reload(saga)
    assert (row.status, row.error_code) == (SagaStatus.COMPENSATED, "declined")
    assert world.happened[4:] == ["c:undo", "b:undo", "local1:undo"]


def test_one_that_failed_waits_for_one_in_doubt(world, group, begin):
    """Nothing turns back before it is known, and what failed for good is not called again."""
    world.answers("a", Failure("declined", "no"))
    world.answers("b", Unknown("lost"))
    world.answers("b:query", Success({"found": True}))
    saga = engine.advance_saga(begin(group()))
    row = reload(saga)
    assert (row.status, row.direction, row.error_code) == (SagaStatus.IN_PROGRESS, "forward", "declined")
    run_due()
    assert reload(saga).status == SagaStatus.COMPENSATED
    assert world.happened[4:] == ["b:query", "c:undo", "b:undo", "local1:undo"]
    assert world.happened.count("a") == 1


def test_unknown_is_asked_about_and_the_others_are_left_alone(world, group, begin):
    world.answers("b", Unknown("lost"))
    world.answers("b:query", CallNotFound())
    world.answers("c", Transient("busy"))
    saga = engine.advance_saga(begin(group()))
    run_due()
    assert reload(saga).status == SagaStatus.COMPLETED
    assert [world.happened.count(name) for name in MEMBERS] == [1, 2, 2]


def test_what_waits_waits_together_for_the_longest(world, group, begin):
    """Nobody is called before the time that the other side asked for."""
    world.answers("b", Transient("busy"))
    world.answers("c", Transient("429", retry_after_seconds=300))
    saga = engine.advance_saga(begin(group()))
    run_due()
    assert [world.happened.count(name) for name in MEMBERS] == [1, 1, 1]
    steps = SagaStep.objects.filter(saga_id=saga.id, status="failed")
    assert len({step.next_retry_at for step in steps}) == 1
    assert operations.wake_saga(saga_id=saga.id)
    run_due()
    assert reload(saga).status == SagaStatus.COMPLETED


def test_one_whose_retries_are_used_up_is_undone_in_its_place(world, group, begin):
    world.answers("b", *[Unknown("lost")] * 5)
    world.answers("b:query", *[Unknown("lost")] * 5)
    saga = engine.advance_saga(begin(group(max_count=1)))
    run_due()
    assert reload(saga).error_code == "outcome_unknown"
    assert world.happened[-4:] == ["c:undo", "b:undo", "a:undo", "local1:undo"]


def test_the_deadline_ends_the_wait_for_the_rest(world, group, begin):
    world.answers("a", Failure("declined", "no"))
    world.answers("b", Unknown("lost"))
    saga = engine.advance_saga(begin(group(deadline_seconds=0)))
    run_due()
    assert (reload(saga).status, reload(saga).error_code) == (SagaStatus.COMPENSATED, "declined")
    assert "b:query" not in world.happened


def test_past_the_pivot_it_is_a_persons_and_retry_calls_what_failed_again(world, group, begin):
    world.answers("a", Failure("gone", "gone"))
    world.answers("c", Failure("gone", "gone"))
    saga = engine.advance_saga(begin(group(pivot="call2")))
    row = reload(saga)
    assert (row.needs_attention, row.direction) == (True, "forward")
    operations.retry_step(saga_id=saga.id, seen_revision=row.revision, actor="ana", reason="they are back")
    run_due()
    assert reload(saga).status == SagaStatus.COMPLETED
    assert [world.happened.count(name) for name in MEMBERS] == [2, 1, 2]


def test_undecidable_parks_once_all_have_answered(world, group, begin):
    world.answers("b", NeedsReview("amounts differ"))
    saga = engine.advance_saga(begin(group()))
    assert reload(saga).attention_reason == "amounts differ"
    assert SagaStep.objects.get(saga_id=saga.id, step_name="c").status == "completed"
    operations.wake_saga(saga_id=saga.id)
    run_due()
    assert reload(saga).status == SagaStatus.COMPLETED


def test_a_worker_that_dies_in_one_of_the_calls(world, group, begin):
    """None is recorded: the next worker asks about the one that can be asked, and repeats the others."""
    world.answers("c", SystemExit())
    saga = begin(group())
    with pytest.raises(SystemExit):
        engine.advance_saga(saga)
    assert SagaStep.objects.filter(saga_id=saga.id, in_doubt=True).count() == 3
    expire_lease(saga.id)
    run_due()
    assert reload(saga).status == SagaStatus.COMPLETED
    assert [world.happened.count(name) for name in ("a", "b", "b:query", "c")] == [2, 1, 1, 2]


def test_a_slow_worker_records_none_of_them(world, group, begin):
    saga = begin(group())

    def another_finishes():
        expire_lease(saga.id)
        engine.resume_saga(saga.id)
        connection.close()
        return Success({"by": "the slow one"})

    world.answers("a", another_finishes)
    engine.advance_saga(saga)
    assert reload(saga).status == SagaStatus.COMPLETED
    assert SagaStep.objects.get(saga_id=saga.id, step_name="a").result != {"by": "the slow one"}


def test_what_cannot_be_called_together_is_refused(world):
    def step(name, **options):
        return Step(name, world.external(name), **{"kind": EXTERNAL, **options})

    with pytest.raises(AssertionError, match="only EXTERNAL"):
        together(step("a"), step("b", kind=LOCAL))
    with pytest.raises(AssertionError, match="only EXTERNAL"):
        together(step("a"), step("b", kind=WAITING, signal="s", timeout_seconds=1))
    with pytest.raises(AssertionError, match="pivot"):
        together(step("a"), step("b", pivot=True))
    with pytest.raises(AssertionError, match="between 2 and 8"):
        together(*(step(str(number)) for number in range(9)))


def test_a_group_is_drawn(group):
    with translation.override("en"):
        drawn = graph.draw_definition(group())
    assert "├─ together" in drawn
    assert drawn.index("together") < drawn.index("2 a ") < drawn.index("3 b ") < drawn.index("4 c ")
