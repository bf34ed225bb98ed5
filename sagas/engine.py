"""Starts sagas, runs their steps and compensates them.

The rhythm is: commit the intent, call without a transaction, commit the outcome. Between two calls there is one
commit: the outcome of the last call, every LOCAL step after it, and the intent of the next call.

    start()   ── in the caller's transaction: LOCAL steps, intent of the first call
    advance() ── call ─ commit ─ call ─ commit … until finished, waiting for a retry or a signal, or left to a person
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from django.db import connection, transaction

from common import crash, tracing
from common.api.request_id import current_request_id
from common.db import repeat_on_conflict
from sagas import calls, inbox, metrics, planner, registry, store
from sagas.calls import Answer, outcome_name
from sagas.definitions import Context, ExternalStep, LocalStep, WaitingStep
from sagas.models import DEFAULT_FAIRNESS_KEY, DEFAULT_TASK_QUEUE, Direction, SagaStatus
from sagas.outcomes import Another, Failure, Json, NothingHappened, Outcome, StepFailed, Success
from sagas.planner import CallOut, Listen, Rest, RunLocal
from sagas.state import Attempt, SagaState, StepState, names_of, new_state
from sagas.store import LeaseLost

log = structlog.get_logger(__name__)

AtRest = Callable[[SagaState], None]
BeforeCalls = Callable[[], None]


def start(
    name: str,
    *,
    version: int,
    saga_id: uuid.UUID,
    business_id: str,
    data: Mapping[str, Any],
    leased: bool = True,
    task_queue: str = DEFAULT_TASK_QUEUE,
    fairness_key: str = DEFAULT_FAIRNESS_KEY,
) -> SagaState:
    """Begins a saga inside the caller's transaction: it exists if and only if that commits.

    With `leased`, this process holds it and must call `advance`; its first LOCAL steps run here and now, and
    whatever they raise goes to the caller, whose transaction rolls everything back. Without, a worker takes it.

    Workers serve one `task_queue` each, and within it the fairness keys in turns: sagas of one key never wait for a
    backlog of another.
    """
    assert connection.in_atomic_block, "a saga starts inside the transaction of what it is about"
    definition = registry.find(name, version)
    assert definition is not None, f"{name} version {version} is not registered"
    saga = new_state(definition, saga_id=saga_id, business_id=business_id, data=dict(data))
    saga.task_queue, saga.fairness_key = task_queue, fairness_key
    saga.trace_context = {**tracing.current_context(), "request_id": current_request_id()}
    if leased:
        _walk(saga, refusals=None)
    else:
        saga.status = SagaStatus.PENDING
    store.insert(saga, leased=leased)
    metrics.STARTED.labels(name).inc()
    return saga


def resume(saga_id: uuid.UUID, *, at_rest: AtRest | None = None) -> SagaState | None:
    """Claims a saga that is due and continues it. None when there is nothing to do for this worker."""
    crash.reach("saga.claim.before_commit", saga_id=saga_id)
    saga = store.claim(saga_id)
    crash.reach("saga.claim.after_commit", saga_id=saga_id)
    return None if saga is None else resume_claimed(saga, at_rest=at_rest)


def claim_due(
    *,
    task_queue: str,
    places: int,
    held: Mapping[str, int],
    suspects: int,
    after: str,
    overdue_seconds: float = 0,
) -> store.Batch:
    """Claims due sagas for this process, which must `resume_claimed` each of them: see `store.claim_due`."""
    with transaction.atomic(durable=True):
        batch = store.claim_due(
            task_queue=task_queue,
            places=places,
            held=held,
            suspects=suspects,
            after=after,
            overdue_seconds=overdue_seconds,
        )
        for saga in batch.sagas:
            crash.reach("saga.claim.before_commit", saga_id=saga.id)
    for saga in batch.sagas:
        crash.reach("saga.claim.after_commit", saga_id=saga.id)
    return batch


def resume_claimed(
    saga: SagaState, *, at_rest: AtRest | None = None, before_calls: BeforeCalls | None = None
) -> SagaState:
    """Continues a saga that this process has claimed until it rests, in the trace of the request that began it."""
    begun_by = {"begun_by_request_id": saga.trace_context.get("request_id", "")}
    with (
        structlog.contextvars.bound_contextvars(**begun_by),
        tracing.following(saga.trace_context, f"{saga.definition.name} resumed", names_of(saga)) as span,
    ):
        rested = advance(saga, at_rest=at_rest, before_calls=before_calls)
        span.set_attribute("saga.status", rested.status)
        return rested


def advance(
    saga: SagaState, *, at_rest: AtRest | None = None, before_calls: BeforeCalls | None = None
) -> SagaState:
    """Carries on a saga this process holds until it rests.

    `at_rest` runs inside the transaction that brings it to rest, so that an answer that depends on the result
    commits with it. `before_calls` runs before calls to the outside, with no transaction open. When the lease is lost
    nothing is written and the last known state comes back.
    """
    if not saga.is_active:
        return saga
    with structlog.contextvars.bound_contextvars(**names_of(saga)):
        return _advance(saga, at_rest, before_calls)


def _advance(saga: SagaState, at_rest: AtRest | None, before_calls: BeforeCalls | None) -> SagaState:
    pending = _intended(saga)
    try:
        while True:
            if pending and before_calls is not None:
                before_calls()
            answers = calls.make(saga, pending)
            saga, pending = _commit(saga, answers, at_rest)
            if not pending:
                return saga
    except LeaseLost:
        metrics.LEASES_LOST.labels(saga.definition.name).inc()
        log.warning("saga.lease_lost", saga_id=str(saga.id), definition=saga.definition.name)
        return saga


def _intended(saga: SagaState) -> Sequence[StepState]:
    """The calls whose intent, in this direction, is what was committed last."""
    draft = saga.draft()
    match planner.next_move(draft):
        case CallOut(steps=steps) if draft.direction == saga.direction:
            names = {step.name for step in steps}
            intended = [step for step in saga.steps if step.name in names]
            return intended if all(step.in_doubt for step in intended) else ()
    return ()


def _commit(
    saga: SagaState, answers: Sequence[Answer], at_rest: AtRest | None
) -> tuple[SagaState, Sequence[StepState]]:
    """One commit boundary. A LOCAL step that refuses, or news that came since the last commit (a cancellation, a
    signal), undoes the boundary, which is then repeated knowing that; after a deadlock it is repeated as it was."""
    refusals: dict[str, Failure] = {}
    names = [answer.step_name for answer in answers] or [""]
    new_calls = [answer.step_name for answer in answers if isinstance(answer.outcome, NothingHappened)]
    for answer in answers:
        _note(saga, answer.step_name, answer.outcome, duration_ms=answer.duration_ms)

    def write() -> tuple[SagaState, Sequence[StepState]]:
        draft = saga.draft()
        with transaction.atomic(durable=True):
            _record_answers(draft, answers, refusals)
            pending = _walk(draft, refusals)
            if not pending and at_rest is not None:
                at_rest(draft)
            store.save(draft, keeps_lease=bool(pending))
            _require_no_news(saga, draft)
            for name in names:
                crash.reach("saga.outcome.before_commit", name, saga.direction, saga_id=saga.id)
            for name in new_calls:
                crash.reach("saga.new_call.before_commit", name, saga.direction, saga_id=saga.id)
        return draft, pending

    while True:
        try:
            draft, pending = repeat_on_conflict(write)
        except _Refused as refused:
            refusals[refused.step_name] = refused.failure
            continue
        except _CancelArrived:
            saga.cancel_requested = True
            continue
        except _SignalArrived as arrived:
            saga.signals_received = arrived.signals_received
            continue
        for name in names:
            crash.reach("saga.outcome.after_commit", name, saga.direction, saga_id=saga.id)
        for name in new_calls:
            crash.reach("saga.new_call.after_commit", name, saga.direction, saga_id=saga.id)
        if not pending:
            _count_rest(draft)
        return draft, pending


def _record_answers(saga: SagaState, answers: Sequence[Answer], refusals: Mapping[str, Failure]) -> None:
    for answer in answers:
        step = next(step for step in saga.steps if step.name == answer.step_name)
        outcome = refusals.get(step.name, answer.outcome)
        planner.record(saga, step, outcome)
        if isinstance(outcome, Another):
            _go_between(saga, step)
    planner.align_retries(saga)


def _go_between(saga: SagaState, step: StepState) -> None:
    spec = saga.definition.step(step.name)
    assert isinstance(spec, ExternalStep)
    if spec.between is None:
        return
    try:
        spec.between(Context(saga.id, saga.business_id, saga.data, saga.results))
    except StepFailed as refused:
        raise _Refused(step.name, Failure(refused.code, refused.message)) from refused


def _require_no_news(saga: SagaState, draft: SagaState) -> None:
    """Saving has locked the saga's row: who brings news now waits, and finds what was committed."""
    if draft.cancel_requested and not saga.cancel_requested and planner.can_still_cancel(draft):
        raise _CancelArrived
    if draft.listened_in_vain and draft.signals_received != saga.signals_received:
        raise _SignalArrived(draft.signals_received)


class _CancelArrived(Exception):
    pass


class _SignalArrived(Exception):
    def __init__(self, signals_received: int) -> None:
        super().__init__()
        self.signals_received = signals_received


class _Refused(Exception):
    def __init__(self, step_name: str, failure: Failure) -> None:
        super().__init__(step_name)
        self.step_name, self.failure = step_name, failure


def _walk(saga: SagaState, refusals: Mapping[str, Failure] | None) -> Sequence[StepState]:
    """Runs LOCAL steps, and WAITING ones whose signal is there, until the next calls, whose intent it marks, or
    until rest."""
    while True:
        match planner.next_move(saga):
            case RunLocal(step=step, spec=spec):
                _run_local(saga, step, spec, refusals)
            case Listen() if refusals is None:
                return ()  # nobody can have signalled a saga that does not exist yet
            case Listen(step=step, spec=spec):
                if not _hear(saga, step, spec, refusals):
                    return ()
            case CallOut(steps=steps):
                for step in steps:
                    step.intent_is_fresh = not step.in_doubt
                    step.is_new_call = step.intended_at is None
                    step.is_first_call = step.is_new_call and step.call_number == 1
                    step.in_doubt = True
                return steps
            case Rest():
                return ()


def _hear(
    saga: SagaState, step: StepState, spec: WaitingStep, refusals: Mapping[str, Failure] | None
) -> bool:
    """Takes up the oldest signal, or finds that the wait is over. False when the saga has to wait."""
    signal = inbox.take(saga_id=saga.id, name=spec.signal, step_name=step.name)
    if signal is not None:
        _run_local(saga, step, spec, refusals, signal)
    elif saga.waits_for == spec.signal and saga.wait_is_over:
        saga.listened_in_vain = True
        outcome = planner.timed_out(spec)
        _note(saga, step.name, outcome, duration_ms=None)
        planner.record(saga, step, outcome)
    else:
        saga.listened_in_vain = True
        planner.wait(saga, spec)
        return False
    planner.stop_waiting(saga)
    return True


def _run_local(
    saga: SagaState,
    step: StepState,
    spec: LocalStep | WaitingStep,
    refusals: Mapping[str, Failure] | None,
    signal: Json | None = None,
) -> None:
    with tracing.span(f"{saga.definition.name} {step.name}", names_of(saga, step)) as span:
        outcome = _local_outcome(saga, step, spec, refusals, signal)
        span.set_attribute("saga.outcome", outcome_name(outcome))
    _note(saga, step.name, outcome, duration_ms=None)
    planner.record(saga, step, outcome)


def _local_outcome(
    saga: SagaState,
    step: StepState,
    spec: LocalStep | WaitingStep,
    refusals: Mapping[str, Failure] | None,
    signal: Json | None,
) -> Outcome:
    forward = saga.direction == Direction.FORWARD
    handler = spec.execute if forward else spec.compensate
    assert handler is not None
    if refusals and step.name in refusals:
        return refusals[step.name]
    context = Context(saga.id, saga.business_id, saga.data, saga.results, saga.failure, signal or {})
    try:
        return Success(handler(context) or {})
    except StepFailed as refused:
        if refusals is None:
            raise  # the saga does not exist yet: its caller hears of it
        raise _Refused(step.name, Failure(refused.code, refused.message)) from refused


def _note(saga: SagaState, step_name: str, outcome: Outcome, *, duration_ms: int | None) -> None:
    name = outcome_name(outcome)
    saga.attempts.append(Attempt(step_name, saga.direction, name, _detail(outcome), duration_ms))
    metrics.ATTEMPTS.labels(saga.definition.name, step_name, saga.direction, name).inc()


def _detail(outcome: Outcome) -> Json:
    return {name: getattr(outcome, name) for name in type(outcome).__match_args__ if name != "result"}


def _count_rest(saga: SagaState) -> None:
    name = saga.definition.name
    terminal = {
        SagaStatus.COMPLETED: metrics.COMPLETED,
        SagaStatus.COMPENSATED: metrics.COMPENSATED,
        SagaStatus.FAILED: metrics.FAILED,
    }.get(saga.status)
    if terminal is not None:
        terminal.labels(name).inc()
        metrics.DURATION.labels(name, saga.status).observe(saga.age_seconds)
        log.info("saga.finished", saga_id=str(saga.id), definition=name, status=saga.status)
    if saga.needs_attention:
        metrics.NEEDS_REVIEW.labels(name).inc()
        log.error("saga.needs_attention", saga_id=str(saga.id), definition=name, reason=saga.attention_reason)
