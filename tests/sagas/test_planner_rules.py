"""Each rule of a saga by itself: which move comes next, and what an outcome changes. No database."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from sagas import planner
from sagas.definitions import OnTimeout, RetryPolicy, parallel
from sagas.models import Direction, SagaStatus, StepStatus
from sagas.outcomes import (
    AlreadySucceeded,
    CallNotFound,
    Failure,
    NeedsReview,
    NextCall,
    NoEffect,
    Outcome,
    Success,
    Transient,
    Unknown,
)
from sagas.planner import MakeCalls, ReceiveSignal, Release, RunLocalStep, next_move, record_outcome
from sagas.state import SagaState
from tests.sagas.planned import call, complete, local, saga_of, wait

NO = Failure("declined", "no")


def set_waiting(saga: SagaState) -> None:
    saga.steps[0].retry_in_seconds = 0.0


@pytest.mark.parametrize(
    "stop",
    [
        lambda saga: setattr(saga, "status", SagaStatus.FAILED),
        lambda saga: setattr(saga, "attention_reason", "odd"),
        set_waiting,
    ],
    ids=["ended", "needs review", "waits for a retry"],
)
def test_a_saga_that_cannot_run_is_released(stop: Callable[[SagaState], None]) -> None:
    saga = saga_of(local("a"))
    assert next_move(saga) == RunLocalStep(saga.steps[0], saga.definition.steps[0])
    stop(saga)
    saga.cancel_requested = True
    assert next_move(saga) == Release()
    assert saga.direction == Direction.FORWARD


def test_a_saga_runs_five_claims_without_progress_and_is_poison_at_six() -> None:
    saga = saga_of(local("a"))
    saga.claims_without_progress = 5
    assert isinstance(next_move(saga), RunLocalStep)
    assert saga.attention_reason == ""
    saga.claims_without_progress = 6
    assert next_move(saga) == Release()
    assert saga.attention_reason == "claimed 6 times without progress"


CANCELLED = Failure("cancel_requested", "cancellation was requested")
LATE = Failure("deadline_passed", "the deadline of the saga has passed")


@pytest.mark.parametrize(
    ("cancelled", "late", "earlier", "failure"),
    [
        (True, False, None, CANCELLED),
        (False, True, None, LATE),
        (True, True, None, CANCELLED),
        (True, False, NO, NO),
        (False, True, NO, NO),
        (False, False, None, None),
    ],
)
def test_a_cancelled_or_late_saga_is_compensated(
    cancelled: bool, late: bool, earlier: Failure | None, failure: Failure | None
) -> None:
    saga = saga_of(local("a"), call("b"))
    complete(saga.steps[0])
    saga.cancel_requested, saga.deadline_passed, saga.failure = cancelled, late, earlier
    saga.waiting_for, saga.wait_seconds, saga.wait_is_over = "x", 3.0, True
    move = next_move(saga)
    assert saga.failure == failure
    if failure is None:
        assert (saga.direction, move) == (Direction.FORWARD, MakeCalls((saga.steps[1],)))
        assert (saga.waiting_for, saga.wait_seconds, saga.wait_is_over) == ("x", 3.0, True)
    else:
        assert (saga.direction, move) == (
            Direction.COMPENSATING,
            RunLocalStep(saga.steps[0], saga.definition.steps[0]),
        )
        assert (saga.waiting_for, saga.wait_seconds, saga.wait_is_over) == ("", None, False)  # type: ignore[comparison-overlap]


def test_a_saga_past_its_pivot_or_with_the_pivot_in_doubt_cannot_be_cancelled() -> None:
    saga = saga_of(call("a"), call("pivot", pivot=True), call("c"))
    assert planner.can_cancel(saga)
    saga.steps[0].in_doubt = saga.steps[2].in_doubt = True
    assert planner.can_cancel(saga), "only the doubt of the pivot counts"
    saga.steps[1].in_doubt = True
    assert not planner.can_cancel(saga)
    saga.cancel_requested = saga.deadline_passed = True
    next_move(saga)
    assert saga.direction == Direction.FORWARD
    saga.steps[1].in_doubt, saga.past_pivot = False, True
    assert not planner.can_cancel(saga)
    saga.past_pivot, saga.direction = False, Direction.COMPENSATING
    assert not planner.can_cancel(saga)


def test_a_compensating_saga_keeps_its_failure() -> None:
    saga = saga_of(call("a"))
    saga.steps[0].in_doubt = saga.cancel_requested = saga.deadline_passed = True
    saga.direction, saga.failure = Direction.COMPENSATING, None
    next_move(saga)
    assert saga.failure is None


def test_the_first_step_that_is_not_completed_is_next() -> None:
    saga = saga_of(local("a"), call("b"), wait("c"))
    first, second, third = saga.steps
    assert next_move(saga) == RunLocalStep(first, saga.definition.steps[0])
    complete(first)
    assert next_move(saga) == MakeCalls((second,))
    second.status = StepStatus.FAILED  # its retry is due
    assert next_move(saga) == MakeCalls((second,))
    complete(second)
    assert next_move(saga) == ReceiveSignal(third, saga.definition.steps[2])
    assert saga.status == SagaStatus.IN_PROGRESS
    complete(third)
    assert next_move(saga) == Release()
    assert saga.status == SagaStatus.COMPLETED  # type: ignore[comparison-overlap]


def test_a_group_is_called_together_without_its_decided_steps() -> None:
    saga = saga_of(*parallel(call("a"), call("b"), call("c")), call("d"))
    a, b, c, d = saga.steps
    assert next_move(saga) == MakeCalls((a, b, c))
    complete(b)
    assert next_move(saga) == MakeCalls((a, c))
    record_outcome(saga, a, NO)
    assert next_move(saga) == MakeCalls((c,))
    complete(c)
    move = next_move(saga)
    assert (saga.direction, saga.failure) == (Direction.COMPENSATING, NO)
    assert move == MakeCalls((c,))
    assert (a.compensating, b.compensating, c.compensating, d.compensating) == (False, False, True, False)


def test_a_failed_step_past_the_pivot_needs_review() -> None:
    saga = saga_of(call("pivot", pivot=True), call("b"))
    record_outcome(saga, saga.steps[0], Success())
    record_outcome(saga, saga.steps[1], NO)
    assert next_move(saga) == Release()
    assert (saga.direction, saga.failure) == (Direction.FORWARD, NO)
    assert saga.attention_reason == "past the pivot: no"


def compensating(*steps: Any) -> SagaState:
    saga = saga_of(*steps)
    saga.direction, saga.failure = Direction.COMPENSATING, NO
    return saga


def test_compensation_goes_back_over_what_was_attempted() -> None:
    saga = compensating(call("a"), wait("b"), local("c"), call("d"), call("e"))
    a, b, c, d, e = saga.steps
    complete(a, b, c)
    d.status, d.in_doubt, d.retry_count = StepStatus.FAILED, True, 2
    assert next_move(saga) == MakeCalls((d,))
    assert (d.compensating, d.retry_count) == (True, 0)
    d.retry_count = 1
    assert next_move(saga) == MakeCalls((d,))
    assert d.retry_count == 1, "only the beginning of the compensation resets the count"
    record_outcome(saga, d, Success())
    assert next_move(saga) == RunLocalStep(c, saga.definition.steps[2])
    record_outcome(saga, c, Success())
    assert next_move(saga) == RunLocalStep(b, saga.definition.steps[1])
    record_outcome(saga, b, Success())
    assert next_move(saga) == MakeCalls((a,))
    record_outcome(saga, a, Success())
    assert saga.status == SagaStatus.IN_PROGRESS
    assert next_move(saga) == Release()
    assert saga.status == SagaStatus.COMPENSATED  # type: ignore[comparison-overlap]
    assert (e.status, e.compensating) == (StepStatus.PENDING, False)


def test_a_step_without_a_compensation_is_passed() -> None:
    saga = compensating(local("a"), call("b", compensate=None))
    a, b = saga.steps
    complete(a)
    b.in_doubt = True
    assert next_move(saga) == RunLocalStep(a, saga.definition.steps[0])
    assert (b.status, b.in_doubt, b.sets_compensated_at) == (StepStatus.COMPENSATED, False, True)
    assert (a.sets_compensated_at, a.compensating) == (False, True)


def started(**options: Any) -> SagaState:
    """A saga at the call `b`, which was retried once and is in doubt, after one claim without progress."""
    saga = saga_of(local("a"), call("b", **options), call("c"))
    complete(saga.steps[0])
    step = saga.steps[1]
    step.in_doubt, step.retry_count, step.error_message = True, 1, "before"
    step.intended_at = object()  # type: ignore[assignment] # a time
    saga.claims_without_progress = 1
    return saga


def is_unchanged_beside(saga: SagaState) -> bool:
    before, _step, after = saga.steps
    return before.status == StepStatus.COMPLETED and after.status == StepStatus.PENDING


def test_a_success_completes_the_step() -> None:
    saga = started()
    step = saga.steps[1]
    record_outcome(saga, step, Success({"no": 1}))
    assert (step.status, step.in_doubt, step.result) == (StepStatus.COMPLETED, False, {"no": 1})
    assert (step.error_message, step.sets_executed_at, step.retry_in_seconds) == ("", True, None)
    assert (saga.claims_without_progress, saga.past_pivot, saga.failure) == (0, False, None)
    assert is_unchanged_beside(saga)


def test_the_success_of_the_pivot_is_the_point_of_no_return() -> None:
    saga = started(pivot=True)
    record_outcome(saga, saga.steps[1], Success())
    assert saga.past_pivot
    record_outcome(saga, saga.steps[2], Success())
    assert saga.past_pivot, "a later step does not reset the pivot"


def test_a_failure_is_for_good() -> None:
    saga = started()
    step = saga.steps[1]
    record_outcome(saga, step, NO)
    assert (step.status, step.in_doubt, step.error_message) == (StepStatus.FAILED, False, "no")
    assert (step.retry_in_seconds, step.sets_executed_at) == (None, False)
    assert saga.failure == NO
    record_outcome(saga, saga.steps[2], Failure("other", "other"))
    assert saga.failure == NO, "the first failure is the saga's"


@pytest.mark.parametrize("is_fresh", [True, False])
def test_a_transient_outcome_says_nothing_of_an_earlier_call(is_fresh: bool) -> None:
    saga = started()
    step = saga.steps[1]
    step.has_fresh_intent = is_fresh
    record_outcome(saga, step, Transient("busy"))
    assert (step.in_doubt, step.error_message) == (not is_fresh, "busy")
    assert (step.status, step.retry_count) == (StepStatus.FAILED, 2)
    assert step.retry_in_seconds is not None
    assert saga.failure is None


def test_an_unknown_outcome_leaves_the_step_in_doubt() -> None:
    saga = started()
    step = saga.steps[1]
    step.in_doubt, step.has_fresh_intent = False, True
    record_outcome(saga, step, Unknown("lost"))
    assert (step.in_doubt, step.error_message) == (True, "lost")
    assert (step.status, step.retry_count) == (StepStatus.FAILED, 2)
    assert step.retry_in_seconds is not None
    assert saga.failure is None


@pytest.mark.parametrize(
    ("outcome", "failure"),
    [
        (Transient("busy"), Failure("retries_exhausted", "busy")),
        (Unknown("lost"), Failure("outcome_unknown", "lost")),
        (NoEffect("expired"), Failure("retries_exhausted", "expired")),
    ],
)
def test_without_retries_left_the_step_has_failed_for_good(outcome: Outcome, failure: Failure) -> None:
    saga = started()
    step = saga.steps[1]
    step.retry_count = 2
    record_outcome(saga, step, outcome)
    assert step.has_failed_for_good
    assert (saga.failure, step.retry_count, step.call_number) == (failure, 2, 1)
    assert step.in_doubt is not isinstance(outcome, NoEffect)
    saga.failure = NO
    record_outcome(saga, step, outcome)
    assert saga.failure == NO


def test_a_next_call_begins_with_all_retries() -> None:
    saga = started()
    step = saga.steps[1]
    step.status = StepStatus.FAILED
    record_outcome(saga, step, NextCall({"page": 2}))
    assert (step.status, step.in_doubt, step.result) == (StepStatus.PENDING, False, {"page": 2})
    assert (step.error_message, step.retry_count, step.intended_at) == ("", 0, None)
    assert (step.call_number, step.sets_executed_at) == (1, False)


@pytest.mark.parametrize(("spends", "retries"), [(True, 2), (False, 1)])
def test_no_effect_makes_a_new_call_with_a_new_number(spends: bool, retries: int) -> None:
    saga = started()
    step = saga.steps[1]
    step.status, step.call_number = StepStatus.FAILED, 3
    record_outcome(saga, step, NoEffect("expired", spends_attempt=spends))
    assert (step.status, step.in_doubt, step.intended_at) == (StepStatus.PENDING, False, None)
    assert (step.call_number, step.retry_count, step.error_message) == (4, retries, "expired")
    assert saga.failure is None


def test_a_query_without_effect_spends_nothing_even_at_the_limit() -> None:
    saga = started()
    step = saga.steps[1]
    step.retry_count = 2
    record_outcome(saga, step, NoEffect("expired", spends_attempt=False))
    assert (step.status, step.retry_count, step.call_number) == (StepStatus.PENDING, 2, 2)


def test_an_undecidable_call_stays_in_doubt_and_needs_review() -> None:
    saga = started()
    step = saga.steps[1]
    step.in_doubt = False
    record_outcome(saga, step, NeedsReview("amounts differ"))
    assert (step.status, step.in_doubt, step.error_message) == (StepStatus.PENDING, True, "amounts differ")
    assert (saga.attention_reason, saga.failure) == ("amounts differ", None)


@pytest.mark.parametrize("outcome", [CallNotFound(), AlreadySucceeded()])
def test_a_forward_call_cannot_return_it(outcome: Outcome) -> None:
    saga = started()
    with pytest.raises(AssertionError, match="from a forward call"):
        record_outcome(saga, saga.steps[1], outcome)


def undoing() -> SagaState:
    saga = started()
    saga.direction, saga.failure = Direction.COMPENSATING, NO
    saga.steps[1].compensating = True
    return saga


def test_a_compensated_step() -> None:
    saga = undoing()
    step = saga.steps[1]
    record_outcome(saga, step, Success({"ignored": 1}))
    assert (step.status, step.in_doubt, step.sets_compensated_at) == (StepStatus.COMPENSATED, False, True)
    assert (step.error_message, step.result, step.sets_executed_at) == ("", None, False)
    assert (saga.claims_without_progress, saga.status) == (0, SagaStatus.IN_PROGRESS)


def test_a_step_that_had_succeeded_turns_the_saga_forward_for_good() -> None:
    saga = undoing()
    step = saga.steps[1]
    record_outcome(saga, step, AlreadySucceeded({"paid": 1}))
    assert (step.status, step.in_doubt, step.compensating) == (StepStatus.COMPLETED, False, False)
    assert (step.result, step.error_message, step.sets_executed_at) == ({"paid": 1}, "", True)
    assert (saga.direction, saga.past_pivot, saga.failure) == (Direction.FORWARD, True, None)
    assert next_move(saga) == MakeCalls((saga.steps[2],))


@pytest.mark.parametrize(
    ("outcome", "message", "is_last"),
    [(NO, "no", False), (Transient("busy"), "busy", True), (Unknown("lost"), "lost", True)],
)
def test_a_compensation_that_fails_ends_the_saga(outcome: Outcome, message: str, is_last: bool) -> None:
    saga = undoing()
    step = saga.steps[1]
    step.retry_count = 2 if is_last else 0
    step.in_doubt = False
    record_outcome(saga, step, outcome)
    assert (step.status, step.error_message, step.retry_in_seconds) == (StepStatus.FAILED, message, None)
    assert step.in_doubt is isinstance(outcome, Unknown)
    assert saga.status == SagaStatus.FAILED
    assert saga.attention_reason == f"compensation of b failed: {message}"
    assert saga.failure == NO


@pytest.mark.parametrize("outcome", [Transient("busy"), Unknown("busy")])
def test_a_compensation_is_retried(outcome: Outcome) -> None:
    saga = undoing()
    step = saga.steps[1]
    step.in_doubt = False
    record_outcome(saga, step, outcome)
    assert (step.status, step.error_message, step.retry_count) == (StepStatus.FAILED, "busy", 2)
    assert step.retry_in_seconds is not None
    assert step.in_doubt is isinstance(outcome, Unknown)
    assert (saga.status, saga.attention_reason) == (SagaStatus.IN_PROGRESS, "")


def test_an_undecidable_compensation_needs_review() -> None:
    saga = undoing()
    step = saga.steps[1]
    record_outcome(saga, step, NeedsReview("odd"))
    assert (step.status, step.in_doubt, step.error_message) == (StepStatus.PENDING, True, "odd")
    assert (saga.attention_reason, saga.status) == ("odd", SagaStatus.IN_PROGRESS)


@pytest.mark.parametrize("outcome", [CallNotFound(), NoEffect("x"), NextCall({})])
def test_a_compensation_cannot_return_it(outcome: Outcome) -> None:
    saga = undoing()
    with pytest.raises(AssertionError, match="from its compensation"):
        record_outcome(saga, saga.steps[1], outcome)


@pytest.fixture
def longest_pause(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """The draw of the pause is its upper bound. The bounds of all draws are returned."""
    bounds: list[tuple[float, float]] = []

    def draw(low: float, high: float) -> float:
        bounds.append((low, high))
        return high

    monkeypatch.setattr(random, "uniform", draw)
    return bounds


@pytest.mark.parametrize(
    ("retry", "count", "seconds"),
    [
        (RetryPolicy(9, base_seconds=3.0, cap_seconds=100.0), 0, 3.0),
        (RetryPolicy(9, base_seconds=3.0, cap_seconds=100.0), 1, 6.0),
        (RetryPolicy(9, base_seconds=3.0, cap_seconds=100.0), 4, 48.0),
        (RetryPolicy(9, base_seconds=3.0, cap_seconds=40.0), 4, 40.0),
        (RetryPolicy(9, base_seconds=0.0, cap_seconds=40.0), 4, 0.0),
        (RetryPolicy(9, base_seconds=3.0, cap_seconds=0.0), 4, 0.0),
        (RetryPolicy(9), 2, 20.0),
        (RetryPolicy(9), 3, 30.0),
    ],
)
def test_pauses_double_up_to_the_cap(
    retry: RetryPolicy, count: int, seconds: float, longest_pause: list[tuple[float, float]], settings: Any
) -> None:
    settings.SAGA_RETRY_BASE_SECONDS, settings.SAGA_RETRY_CAP_SECONDS = 5.0, 30.0
    saga = saga_of(call("a", retry=retry))
    saga.steps[0].retry_count = count
    record_outcome(saga, saga.steps[0], Unknown("lost"))
    assert longest_pause == [(0, seconds)]
    assert saga.steps[0].retry_in_seconds == seconds
    assert saga.deadline_in_seconds == 60


@pytest.mark.parametrize(
    ("retry_after_seconds", "seconds"),
    [(0.5, 2.0), (2.5, 2.5), (None, 2.0)],
    ids=["shorter", "longer", "not at all"],
)
def test_a_pause_is_at_least_what_the_channel_asks_for(
    retry_after_seconds: float | None, seconds: float, longest_pause: list[tuple[float, float]]
) -> None:
    saga = started()
    saga.deadline_in_seconds = None
    record_outcome(
        saga,
        saga.steps[1],
        Transient("busy", retry_after_seconds=retry_after_seconds, extends_deadline=False),
    )
    assert saga.steps[1].retry_in_seconds == seconds
    assert saga.deadline_in_seconds is None


def test_a_wait_that_the_channel_asks_for_can_extend_the_deadline() -> None:
    saga = started()
    outcome = Transient("in review", retry_after_seconds=500, spends_attempt=False, extends_deadline=True)
    record_outcome(saga, saga.steps[1], outcome)
    assert saga.steps[1].retry_in_seconds == 500
    assert saga.deadline_in_seconds == 500 + saga.definition.deadline_seconds
    saga.deadline_in_seconds = None
    record_outcome(saga, saga.steps[1], Transient("in review", extends_deadline=True))
    assert saga.deadline_in_seconds is None, "without a time there is nothing to extend it by"


@pytest.mark.parametrize("count", [1, 2], ids=["retries left", "none left"])
@pytest.mark.parametrize(
    "outcome", [Transient("busy", spends_attempt=False), Unknown("x", spends_attempt=False)]
)
def test_what_the_platform_refused_itself_spends_no_attempt(outcome: Outcome, count: int) -> None:
    saga = started()
    step = saga.steps[1]
    step.retry_count = count
    record_outcome(saga, step, outcome)
    assert (step.retry_count, saga.failure) == (count, None)
    assert step.retry_in_seconds is not None


def test_a_group_waits_for_the_latest_of_its_retries() -> None:
    saga = saga_of(call("a"), call("b"), call("c"))
    planner.align_retries(saga)
    assert [step.retry_in_seconds for step in saga.steps] == [None, None, None]
    saga.steps[0].retry_in_seconds, saga.steps[2].retry_in_seconds = 1.0, 4.0
    planner.align_retries(saga)
    assert [step.retry_in_seconds for step in saga.steps] == [4.0, None, 4.0]


def test_waiting_begins_once_and_is_progress() -> None:
    saga = saga_of(wait("a"), wait("b"))
    saga.claims_without_progress = 3
    first, second = saga.definition.steps
    planner.start_waiting(saga, first)  # type: ignore[arg-type]
    assert (saga.waiting_for, saga.wait_seconds, saga.claims_without_progress) == ("a.done", 7.0, 0)
    saga.wait_seconds = None  # saved
    planner.start_waiting(saga, first)  # type: ignore[arg-type]
    assert saga.wait_seconds is None, "the saga still waits"
    planner.start_waiting(saga, second)  # type: ignore[arg-type]
    assert (saga.waiting_for, saga.wait_seconds) == ("b.done", 7.0)  # type: ignore[comparison-overlap]
    saga.wait_is_over = True
    planner.stop_waiting(saga)
    assert (saga.waiting_for, saga.wait_seconds, saga.wait_is_over) == ("", None, False)


def test_a_signal_that_does_not_come_fails_or_continues() -> None:
    assert planner.get_timeout_outcome(wait("a")) == Failure(  # type: ignore[arg-type]
        "signal_timed_out", "a: no signal a.done in time"
    )
    going_on = wait("a", on_timeout=OnTimeout.CONTINUE)
    assert planner.get_timeout_outcome(going_on) == Success({"timed_out": True})  # type: ignore[arg-type]
