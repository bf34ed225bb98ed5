"""The rules of a saga as functions of its state alone: no database, no clock, no calls.

`next_move` says what to do; `record` says what an outcome means. Both change the state they are given.
"""

import random
from dataclasses import dataclass

from django.conf import settings

from sagas.definitions import ExternalStep, LocalStep, OnTimeout, StepSpec, WaitingStep
from sagas.models import Direction, SagaStatus, StepStatus
from sagas.outcomes import (
    Another,
    Failure,
    Honoured,
    NotFound,
    NothingHappened,
    Outcome,
    Success,
    Transient,
    Undecidable,
    Unknown,
)
from sagas.state import SagaState, StepState

# A worker that dies this often on one saga without recording anything has met a poison saga.
MAX_CLAIMS_WITHOUT_PROGRESS = 5


@dataclass(frozen=True, slots=True)
class RunLocal:
    step: StepState
    spec: LocalStep | WaitingStep


@dataclass(frozen=True, slots=True)
class CallOut:
    """Calls to be made at the same time: one, or what is left of a group."""

    steps: tuple[StepState, ...]


@dataclass(frozen=True, slots=True)
class Listen:
    """A signal is needed: with one that has arrived the step runs, without one the saga waits or has waited enough."""

    step: StepState
    spec: WaitingStep


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing to do now: finished, waiting for a retry, or left to a person."""


Move = RunLocal | CallOut | Listen | Rest


def next_move(saga: SagaState) -> Move:
    if not saga.is_active or saga.needs_attention or saga.waits_for_retry:
        return Rest()
    if saga.claims_without_progress > MAX_CLAIMS_WITHOUT_PROGRESS:
        stop_for_review(saga, f"claimed {saga.claims_without_progress} times without progress")
        return Rest()
    if saga.direction == Direction.FORWARD and _may_turn_back(saga):
        if saga.cancel_requested:
            turn_back(saga, saga.failure or Failure("cancel_requested", "cancellation was requested"))
        elif saga.deadline_passed:
            turn_back(saga, saga.failure or Failure("deadline_passed", "the deadline of the saga has passed"))
    return _forward(saga) if saga.direction == Direction.FORWARD else _backward(saga)


def _forward(saga: SagaState) -> Move:
    step = next((step for step in saga.steps if step.status != StepStatus.COMPLETED), None)
    if step is None:
        saga.move_to(SagaStatus.COMPLETED)
        return Rest()
    left = [each for each in _beside(saga, step) if each.status != StepStatus.COMPLETED]
    undecided = [each for each in left if saga.failure is None or not each.is_given_up]
    if saga.failure is not None and not undecided:
        return _give_up(saga, saga.failure)
    return _move_for(undecided, saga.definition.step(undecided[0].name))


def _beside(saga: SagaState, step: StepState) -> list[StepState]:
    names = saga.definition.beside(step.name)
    return [each for each in saga.steps if each.name in names]


def _backward(saga: SagaState) -> Move:
    for step in reversed(saga.steps):
        if step.status == StepStatus.COMPENSATED or not step.was_attempted:
            continue
        spec = saga.definition.step(step.name)
        if not step.compensating:
            step.compensating, step.retry_count = True, 0
        if spec.compensate is None:
            step.status, step.in_doubt, step.compensated_now = StepStatus.COMPENSATED, False, True
            continue
        if isinstance(spec, WaitingStep):
            return RunLocal(step, spec)
        return _move_for([step], spec)
    saga.move_to(SagaStatus.COMPENSATED)
    return Rest()


def _move_for(steps: list[StepState], spec: StepSpec) -> Move:
    match spec:
        case LocalStep():
            return RunLocal(steps[0], spec)
        case WaitingStep():
            return Listen(steps[0], spec)
        case ExternalStep():
            return CallOut(tuple(steps))


def can_still_cancel(saga: SagaState) -> bool:
    """A saga that has just run its last step counts: it is not committed yet."""
    return saga.direction == Direction.FORWARD and _may_turn_back(saga)


def _may_turn_back(saga: SagaState) -> bool:
    """Not past the pivot, and not while the pivot's own call may have happened."""
    in_doubt_pivot = any(step.in_doubt and saga.definition.step(step.name).pivot for step in saga.steps)
    return not saga.past_pivot and not in_doubt_pivot


def record(saga: SagaState, step: StepState, outcome: Outcome) -> None:
    """What an outcome means for the step and the saga. Recording anything is progress."""
    saga.claims_without_progress = 0
    if saga.direction == Direction.FORWARD:
        _record_forward(saga, step, outcome)
    else:
        _record_backward(saga, step, outcome)


def align_retries(saga: SagaState) -> None:
    """What of a group is to be tried again is tried again together, when the last of it may."""
    waits = [step.retry_in_seconds for step in saga.steps if step.retry_in_seconds is not None]
    for step in saga.steps:
        if step.retry_in_seconds is not None:
            step.retry_in_seconds = max(waits)


def wait(saga: SagaState, spec: WaitingStep) -> None:
    """Rests until the signal or the timeout. To have come here is progress: however often somebody looks in vain."""
    if saga.waits_for != spec.signal:
        saga.waits_for, saga.wait_seconds = spec.signal, spec.timeout_seconds
    saga.claims_without_progress = 0


def stop_waiting(saga: SagaState) -> None:
    saga.waits_for, saga.wait_seconds, saga.wait_is_over = "", None, False


def timed_out(spec: WaitingStep) -> Outcome:
    if spec.on_timeout is OnTimeout.GO_ON:
        return Success({"timed_out": True})
    return Failure("signal_timed_out", f"{spec.name}: no signal {spec.signal} in time")


def _record_forward(saga: SagaState, step: StepState, outcome: Outcome) -> None:
    match outcome:
        case Success(result):
            step.status, step.in_doubt, step.result = StepStatus.COMPLETED, False, result
            step.error_message, step.executed_now = "", True
            saga.past_pivot = saga.past_pivot or saga.definition.step(step.name).pivot
        case Failure(_, message):
            step.status, step.in_doubt, step.error_message = StepStatus.FAILED, False, message
            saga.failure = saga.failure or outcome
        case Transient(reason):
            # This call did not happen; an earlier one whose answer was lost still may have.
            step.in_doubt, step.error_message = not step.intent_is_fresh, reason
            if not _wait(step, saga, outcome):
                step.status = StepStatus.FAILED
                saga.failure = saga.failure or Failure("retries_exhausted", reason)
        case Unknown(reason):
            step.in_doubt, step.error_message = True, reason
            if not _wait(step, saga, outcome):
                step.status = StepStatus.FAILED
                saga.failure = saga.failure or Failure("outcome_unknown", reason)
        case Another(result):
            step.status, step.in_doubt, step.result = StepStatus.PENDING, False, result
            step.error_message, step.retry_count = "", 0
            step.intended_at = None
        case NothingHappened():
            _begin_new_call(saga, step, outcome)
        case Undecidable(reason):
            step.in_doubt, step.error_message = True, reason
            stop_for_review(saga, reason)
        case NotFound() | Honoured():
            raise AssertionError(f"{step.name} answered {outcome} to a forward call")


def _record_backward(saga: SagaState, step: StepState, outcome: Outcome) -> None:
    match outcome:
        case Success():
            step.status, step.in_doubt, step.compensated_now = StepStatus.COMPENSATED, False, True
            step.error_message = ""
        case Honoured(result):
            step.status, step.in_doubt, step.compensating = StepStatus.COMPLETED, False, False
            step.result, step.error_message, step.executed_now = result, "", True
            saga.direction, saga.past_pivot, saga.failure = Direction.FORWARD, True, None
        case Failure(_, message):
            _compensation_failed(saga, step, message)
        case Transient(reason):
            step.error_message = reason
            if not _wait(step, saga, outcome):
                _compensation_failed(saga, step, reason)
        case Unknown(reason):
            step.in_doubt, step.error_message = True, reason
            if not _wait(step, saga, outcome):
                _compensation_failed(saga, step, reason)
        case Undecidable(reason):
            step.error_message = reason
            stop_for_review(saga, reason)
        case NotFound() | NothingHappened() | Another():
            raise AssertionError(f"{step.name} answered {outcome} to its compensation")


def _begin_new_call(saga: SagaState, step: StepState, outcome: NothingHappened) -> None:
    """The doubt is over. The next intent is of a call with the next number, and so with a new key."""
    step.in_doubt, step.error_message = False, outcome.reason
    if outcome.spends_attempt and step.retry_count >= step.max_retry_count:
        step.status = StepStatus.FAILED
        saga.failure = saga.failure or Failure("retries_exhausted", outcome.reason)
        return
    step.status, step.intended_at = StepStatus.PENDING, None
    step.call_number += 1
    step.retry_count += outcome.spends_attempt


def turn_back(saga: SagaState, failure: Failure) -> None:
    saga.direction, saga.failure = Direction.COMPENSATING, failure
    stop_waiting(saga)


def stop_for_review(saga: SagaState, reason: str) -> None:
    """Leaves the saga to a person: no lease, no retry, no guess."""
    saga.attention_reason = reason


def _give_up(saga: SagaState, failure: Failure) -> Move:
    """A step has failed for good, and whatever was called together with it has come to its end, too."""
    if _may_turn_back(saga):
        turn_back(saga, failure)
        return _backward(saga)
    saga.failure = failure
    stop_for_review(saga, f"past the point of no return: {failure.message}")
    return Rest()


def _compensation_failed(saga: SagaState, step: StepState, message: str) -> None:
    step.status, step.error_message = StepStatus.FAILED, message
    saga.move_to(SagaStatus.FAILED)
    stop_for_review(saga, f"compensation of {step.name} failed: {message}")


def _wait(step: StepState, saga: SagaState, outcome: Transient | Unknown) -> bool:
    """Schedules the next try. False when the retries are used up."""
    spends = outcome.spends_attempt
    if spends and step.retry_count >= step.max_retry_count:
        return False
    retry = saga.definition.step(step.name).retry
    base = retry.base_seconds if retry.base_seconds is not None else settings.SAGA_RETRY_BASE_SECONDS
    cap = retry.cap_seconds if retry.cap_seconds is not None else settings.SAGA_RETRY_CAP_SECONDS
    # Full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter"): many sagas never knock at once.
    delay = random.uniform(0, min(cap, base * 2**step.retry_count))  # noqa: S311
    if isinstance(outcome, Transient) and outcome.retry_after_seconds is not None:
        delay = max(delay, outcome.retry_after_seconds)
    step.status, step.retry_in_seconds = StepStatus.FAILED, delay
    step.retry_count += spends
    return True
