"""The rules of a saga as functions of its state alone: no database, no clock, no calls.

`next_move` returns what to do now; `record_outcome` applies an outcome. Both change the state they are given.
"""

import random
from dataclasses import dataclass

from django.conf import settings

from sagas.definitions import ExternalStep, LocalStep, OnTimeout, StepSpec, WaitingStep
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
from sagas.state import SagaState, StepState
from sagas.stop_reasons import CLAIMED_WITHOUT_PROGRESS, COMPENSATION_FAILED, PAST_PIVOT

# A saga whose workers die this often without recording an outcome is a poison saga.
MAX_CLAIMS_WITHOUT_PROGRESS = 5


@dataclass(frozen=True, slots=True)
class RunLocalStep:
    step: StepState
    spec: LocalStep | WaitingStep


@dataclass(frozen=True, slots=True)
class MakeCalls:
    """Calls to make at the same time: one, or the undecided ones of a group."""

    steps: tuple[StepState, ...]


@dataclass(frozen=True, slots=True)
class ReceiveSignal:
    """The step runs when its signal has been delivered. Otherwise the saga waits, or the step times out."""

    step: StepState
    spec: WaitingStep


@dataclass(frozen=True, slots=True)
class Release:
    """Nothing to do now, so release the lease: the saga has ended, waits for a retry, or needs review."""


Move = RunLocalStep | MakeCalls | ReceiveSignal | Release


def next_move(saga: SagaState) -> Move:
    if not saga.is_active or saga.needs_attention or saga.waits_for_retry:
        return Release()
    if saga.claims_without_progress > MAX_CLAIMS_WITHOUT_PROGRESS:
        stop_for_review(saga, CLAIMED_WITHOUT_PROGRESS % {"count": saga.claims_without_progress})
        return Release()
    if can_cancel(saga):
        if saga.cancel_requested:
            start_compensating(
                saga, saga.failure or Failure("cancel_requested", "cancellation was requested")
            )
        elif saga.deadline_passed:
            start_compensating(
                saga, saga.failure or Failure("deadline_passed", "the deadline of the saga has passed")
            )
    return _next_move_forward(saga) if saga.direction == Direction.FORWARD else _next_compensation(saga)


def _next_move_forward(saga: SagaState) -> Move:
    step = next((step for step in saga.steps if step.status != StepStatus.COMPLETED), None)
    if step is None:
        saga.move_to(SagaStatus.COMPLETED)
        return Release()
    group = saga.definition.get_group(step.name)
    left = [each for each in saga.steps if each.name in group and each.status != StepStatus.COMPLETED]
    undecided = [each for each in left if saga.failure is None or not each.has_failed_for_good]
    if saga.failure is not None and not undecided:
        return _end_failed_group(saga, saga.failure)
    return _get_move_for(undecided, saga.definition.get_step(undecided[0].name))


def _next_compensation(saga: SagaState) -> Move:
    for step in reversed(saga.steps):
        if step.status == StepStatus.COMPENSATED or not step.was_attempted:
            continue
        spec = saga.definition.get_step(step.name)
        if not step.compensating:
            step.compensating, step.retry_count = True, 0
        if spec.compensate is None:
            step.status, step.in_doubt, step.sets_compensated_at = StepStatus.COMPENSATED, False, True
            continue
        if isinstance(spec, WaitingStep):
            return RunLocalStep(step, spec)
        return _get_move_for([step], spec)
    saga.move_to(SagaStatus.COMPENSATED)
    return Release()


def _get_move_for(steps: list[StepState], spec: StepSpec) -> Move:
    match spec:
        case LocalStep():
            return RunLocalStep(steps[0], spec)
        case WaitingStep():
            return ReceiveSignal(steps[0], spec)
        case ExternalStep():
            return MakeCalls(tuple(steps))


def can_cancel(saga: SagaState) -> bool:
    """True also for a saga that has run its last step and is not committed yet."""
    return saga.direction == Direction.FORWARD and _can_compensate(saga)


def _can_compensate(saga: SagaState) -> bool:
    """Not past the pivot, and not while the pivot's own call is in doubt."""
    is_pivot_in_doubt = any(
        step.in_doubt and saga.definition.get_step(step.name).pivot for step in saga.steps
    )
    return not saga.past_pivot and not is_pivot_in_doubt


def record_outcome(saga: SagaState, step: StepState, outcome: Outcome) -> None:
    """Applies an outcome to the step and the saga. Every recorded outcome is progress."""
    saga.claims_without_progress = 0
    if saga.direction == Direction.FORWARD:
        _record_forward(saga, step, outcome)
    else:
        _record_compensation(saga, step, outcome)


def align_retries(saga: SagaState) -> None:
    """Makes all steps of a group that wait for a retry wait for the latest of their retries."""
    waits = [step.retry_in_seconds for step in saga.steps if step.retry_in_seconds is not None]
    for step in saga.steps:
        if step.retry_in_seconds is not None:
            step.retry_in_seconds = max(waits)


def start_waiting(saga: SagaState, spec: WaitingStep) -> None:
    """Makes the saga wait for its signal. Counts as progress, however often a worker finds no signal."""
    if saga.waiting_for != spec.signal:
        saga.waiting_for, saga.wait_seconds = spec.signal, spec.timeout_seconds
    saga.claims_without_progress = 0


def stop_waiting(saga: SagaState) -> None:
    saga.waiting_for, saga.wait_seconds, saga.wait_is_over = "", None, False


def get_timeout_outcome(spec: WaitingStep) -> Outcome:
    if spec.on_timeout is OnTimeout.CONTINUE:
        return Success({"timed_out": True})
    return Failure("signal_timed_out", f"{spec.name}: no signal {spec.signal} in time")


def _record_forward(saga: SagaState, step: StepState, outcome: Outcome) -> None:
    match outcome:
        case Success(result):
            step.status, step.in_doubt, step.result = StepStatus.COMPLETED, False, result
            step.error_message, step.sets_executed_at = "", True
            saga.past_pivot = saga.past_pivot or saga.definition.get_step(step.name).pivot
        case Failure(_, message):
            step.status, step.in_doubt, step.error_message = StepStatus.FAILED, False, message
            saga.failure = saga.failure or outcome
        case Transient(reason):
            # This call did not happen. An earlier call whose answer was lost may have happened.
            step.in_doubt, step.error_message = not step.has_fresh_intent, reason
            if not _schedule_retry(step, saga, outcome):
                step.status = StepStatus.FAILED
                saga.failure = saga.failure or Failure("retries_exhausted", reason)
        case Unknown(reason):
            step.in_doubt, step.error_message = True, reason
            if not _schedule_retry(step, saga, outcome):
                step.status = StepStatus.FAILED
                saga.failure = saga.failure or Failure("outcome_unknown", reason)
        case NextCall(result):
            step.status, step.in_doubt, step.result = StepStatus.PENDING, False, result
            step.error_message, step.retry_count = "", 0
            step.intended_at = None
        case NoEffect():
            _start_new_call(saga, step, outcome)
        case NeedsReview(reason):
            step.in_doubt, step.error_message = True, reason
            stop_for_review(saga, reason)
        case CallNotFound() | AlreadySucceeded():
            raise AssertionError(f"{step.name} returned {outcome} from a forward call")


def _record_compensation(saga: SagaState, step: StepState, outcome: Outcome) -> None:
    match outcome:
        case Success():
            step.status, step.in_doubt, step.sets_compensated_at = StepStatus.COMPENSATED, False, True
            step.error_message = ""
        case AlreadySucceeded(result):
            step.status, step.in_doubt, step.compensating = StepStatus.COMPLETED, False, False
            step.result, step.error_message, step.sets_executed_at = result, "", True
            saga.direction, saga.past_pivot, saga.failure = Direction.FORWARD, True, None
        case Failure(_, message):
            _fail_compensation(saga, step, message)
        case Transient(reason):
            step.error_message = reason
            if not _schedule_retry(step, saga, outcome):
                _fail_compensation(saga, step, reason)
        case Unknown(reason):
            step.in_doubt, step.error_message = True, reason
            if not _schedule_retry(step, saga, outcome):
                _fail_compensation(saga, step, reason)
        case NeedsReview(reason):
            step.error_message = reason
            stop_for_review(saga, reason)
        case CallNotFound() | NoEffect() | NextCall():
            raise AssertionError(f"{step.name} returned {outcome} from its compensation")


def _start_new_call(saga: SagaState, step: StepState, outcome: NoEffect) -> None:
    """The step is no longer in doubt. Its next intent has the next call number, and so a new key."""
    step.in_doubt, step.error_message = False, outcome.reason
    if outcome.spends_attempt and step.retry_count >= step.max_retry_count:
        step.status = StepStatus.FAILED
        saga.failure = saga.failure or Failure("retries_exhausted", outcome.reason)
        return
    step.status, step.intended_at = StepStatus.PENDING, None
    step.call_number += 1
    step.retry_count += outcome.spends_attempt


def start_compensating(saga: SagaState, failure: Failure) -> None:
    saga.direction, saga.failure = Direction.COMPENSATING, failure
    stop_waiting(saga)


def stop_for_review(saga: SagaState, reason: str) -> None:
    """Marks the saga as needing review: it loses its lease, and no worker claims it."""
    saga.attention_reason = reason


def _end_failed_group(saga: SagaState, failure: Failure) -> Move:
    """A step has failed for good, and all steps called together with it are decided."""
    if _can_compensate(saga):
        start_compensating(saga, failure)
        return _next_compensation(saga)
    saga.failure = failure
    stop_for_review(saga, PAST_PIVOT % {"reason": failure.message})
    return Release()


def _fail_compensation(saga: SagaState, step: StepState, message: str) -> None:
    step.status, step.error_message = StepStatus.FAILED, message
    saga.move_to(SagaStatus.FAILED)
    stop_for_review(saga, COMPENSATION_FAILED % {"step": step.name, "reason": message})


def _schedule_retry(step: StepState, saga: SagaState, outcome: Transient | Unknown) -> bool:
    """False when the step has no retries left."""
    spends = outcome.spends_attempt
    if spends and step.retry_count >= step.max_retry_count:
        return False
    retry = saga.definition.get_step(step.name).retry
    base = retry.base_seconds if retry.base_seconds is not None else settings.SAGA_RETRY_BASE_SECONDS
    cap = retry.cap_seconds if retry.cap_seconds is not None else settings.SAGA_RETRY_CAP_SECONDS
    # Full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter") spreads the retries of many sagas.
    delay = random.uniform(0, min(cap, base * 2**step.retry_count))  # noqa: S311
    if isinstance(outcome, Transient) and outcome.retry_after_seconds is not None:
        delay = max(delay, outcome.retry_after_seconds)
        if outcome.extends_deadline:
            saga.deadline_in_seconds = delay + saga.definition.deadline_seconds
    step.status, step.retry_in_seconds = StepStatus.FAILED, delay
    step.retry_count += spends
    return True
