"""Runs the LOCAL and WAITING steps of a saga, inside the transaction that records them."""

from collections.abc import Mapping, Sequence

from common import tracing
from sagas import metrics, planner, signals
from sagas.definitions import Context, ExternalStep, LocalStep, WaitingStep
from sagas.models import Direction
from sagas.outcomes import Failure, Json, Outcome, StepFailed, Success, get_outcome_name
from sagas.planner import MakeCalls, ReceiveSignal, Release, RunLocalStep
from sagas.state import SagaState, StepAttempt, StepState, get_call_key, get_log_fields
from sagas.step_input import build_step_input

Refusals = Mapping[str, Failure]  # by the name of the step


class StepRefused(Exception):
    """The engine's form of `StepFailed`, which handlers raise: it names the step that refused. What the step wrote must
    be rolled back before its failure is recorded."""

    def __init__(self, step_name: str, failure: Failure) -> None:
        super().__init__(step_name)
        self.step_name, self.failure = step_name, failure


def run_first_local_steps(saga: SagaState) -> Sequence[StepState]:
    """Runs the steps before the first call of a saga that is not stored yet, and marks the intent of that call.

    A step that refuses raises `StepFailed` to the caller that starts the saga.
    """
    return _run_until_calls(saga, None)


def run_local_steps(saga: SagaState, refusals: Refusals) -> Sequence[StepState]:
    """Runs steps until the next calls, marks their intent and returns them. Returns none when the saga must be
    released.

    `refusals` are the refusals of an earlier run that was rolled back: these steps fail without running. Raises
    `StepRefused` for a further one.
    """
    return _run_until_calls(saga, refusals)


def _run_until_calls(saga: SagaState, refusals: Refusals | None) -> Sequence[StepState]:
    """`refusals` is None for a saga that is not stored yet: it has no signals, and its refusals go to its caller."""
    while True:
        match planner.next_move(saga):
            case RunLocalStep(step=step, spec=spec):
                _run_step(saga, step, spec, refusals)
            case ReceiveSignal() if refusals is None:
                return ()
            case ReceiveSignal(step=step, spec=spec):
                if not _receive_signal(saga, step, spec, refusals):
                    return ()
            case MakeCalls(steps=steps):
                for step in steps:
                    _mark_intent(saga, step)
                return steps
            case Release():
                return ()


def _mark_intent(saga: SagaState, step: StepState) -> None:
    step.has_fresh_intent = not step.in_doubt
    step.sets_intended_at = step.intended_at is None
    step.is_first_call = step.sets_intended_at and step.call_number == 1
    step.in_doubt = True
    if step.sets_intended_at:
        step.execute_data = build_step_input(saga, key=get_call_key(saga, step, Direction.FORWARD))


def _receive_signal(saga: SagaState, step: StepState, spec: WaitingStep, refusals: Refusals | None) -> bool:
    """Consumes the oldest signal, or times the step out. False when the saga has to wait."""
    signal = signals.consume_signal(saga_id=saga.id, name=spec.signal, step_name=step.name)
    if signal is not None:
        _run_step(saga, step, spec, refusals, signal)
    elif saga.waiting_for == spec.signal and saga.wait_is_over:
        saga.found_no_signal = True
        outcome = planner.get_timeout_outcome(spec)
        add_attempt(saga, step.name, outcome, duration_ms=None)
        planner.record_outcome(saga, step, outcome)
    else:
        saga.found_no_signal = True
        planner.start_waiting(saga, spec)
        return False
    planner.stop_waiting(saga)
    return True


def _run_step(
    saga: SagaState,
    step: StepState,
    spec: LocalStep | WaitingStep,
    refusals: Refusals | None,
    signal: Json | None = None,
) -> None:
    if saga.direction == Direction.FORWARD:
        step.execute_data = build_step_input(saga, signal=signal)
    with tracing.span(f"{saga.definition.name} {step.name}", get_log_fields(saga, step)) as span:
        outcome = _call_handler(saga, step, spec, refusals, signal)
        span.set_attribute("saga.outcome", get_outcome_name(outcome))
    add_attempt(saga, step.name, outcome, duration_ms=None)
    planner.record_outcome(saga, step, outcome)


def _call_handler(
    saga: SagaState,
    step: StepState,
    spec: LocalStep | WaitingStep,
    refusals: Refusals | None,
    signal: Json | None,
) -> Outcome:
    handler = spec.execute if saga.direction == Direction.FORWARD else spec.compensate
    assert handler is not None
    if refusals and step.name in refusals:
        return refusals[step.name]
    context = Context(
        saga.id,
        saga.business_id,
        saga.data,
        saga.results,
        saga.failure,
        signal or {},
        saga.written_objects,
        saga.rows_of_start,
    )
    try:
        return Success(handler(context) or {})
    except StepFailed as refused:
        if refusals is None:
            raise
        raise StepRefused(step.name, Failure(refused.code, refused.message)) from refused


def run_before_next_call(saga: SagaState, step: StepState) -> None:
    """Runs the handler of a step that makes another call. Raises `StepRefused`."""
    spec = saga.definition.get_step(step.name)
    assert isinstance(spec, ExternalStep)
    if spec.before_next_call is None:
        return
    try:
        spec.before_next_call(Context(saga.id, saga.business_id, saga.data, saga.results))
    except StepFailed as refused:
        raise StepRefused(step.name, Failure(refused.code, refused.message)) from refused


def add_attempt(saga: SagaState, step_name: str, outcome: Outcome, *, duration_ms: int | None) -> None:
    """Adds a row to the history that the next commit writes, and counts it. The attempts of a saga that starts with one
    statement are counted after that."""
    name = get_outcome_name(outcome)
    detail: Json = {
        str(field): getattr(outcome, field) for field in type(outcome).__match_args__ if field != "result"
    }
    attempt = StepAttempt(step_name, saga.direction, name, detail, duration_ms)
    saga.attempts.append(attempt)
    if saga.rows_of_start is None:
        count_attempts(saga, [attempt])


def count_attempts(saga: SagaState, attempts: Sequence[StepAttempt]) -> None:
    for attempt in attempts:
        labels = (saga.definition.name, attempt.step_name, attempt.direction, attempt.outcome)
        metrics.ATTEMPTS.labels(*labels).inc()
