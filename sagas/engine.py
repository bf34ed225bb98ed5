"""Starts sagas and carries them forward or back (design section 7).

The rhythm is: commit the intent, call without a transaction, commit the outcome. Between two calls there is one
commit: the outcome of the last call, every LOCAL step after it, and the intent of the next call.

    start()   ── in the caller's transaction: LOCAL steps, intent of the first call
    advance() ── call ─ commit ─ call ─ commit … until finished, waiting for a retry, or left to a person
"""

import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from django.conf import settings
from django.db import connection, transaction

from common import crash, tracing
from common.api.request_id import current_request_id
from sagas import metrics, planner, registry, store
from sagas.definitions import Call, Context, ExternalStep, LocalStep
from sagas.models import Direction, SagaStatus
from sagas.outcomes import Failure, Json, NotFound, Outcome, StepFailed, Success, Unknown
from sagas.planner import CallOut, Rest, RunLocal
from sagas.state import Attempt, SagaState, StepState, new_state
from sagas.store import LeaseLost

log = structlog.get_logger(__name__)

AtRest = Callable[[SagaState], None]


def start(
    name: str,
    *,
    version: int,
    saga_id: uuid.UUID,
    business_id: str,
    data: Mapping[str, Any],
    leased: bool = True,
) -> SagaState:
    """Begins a saga inside the caller's transaction: it exists if and only if that commits.

    With `leased`, this process holds it and must call `advance`; its first LOCAL steps run here and now, and
    whatever they raise goes to the caller, whose transaction rolls everything back. Without, a worker takes it.
    """
    assert connection.in_atomic_block, "a saga starts inside the transaction of what it is about"
    definition = registry.find(name, version)
    assert definition is not None, f"{name} version {version} is not registered"
    saga = new_state(definition, saga_id=saga_id, business_id=business_id, data=dict(data))
    saga.trace_context = {**tracing.current_context(), "request_id": current_request_id()}
    if leased:
        _walk(saga, refusals=None)
    else:
        saga.status = SagaStatus.PENDING
    store.insert(saga, leased=leased)
    metrics.STARTED.labels(name).inc()
    return saga


def resume(
    saga_id: uuid.UUID, *, ticket: int | None = None, at_rest: AtRest | None = None
) -> SagaState | None:
    """Claims a saga that is due and carries it on. None when there is nothing to do for this worker."""
    crash.reach("saga.claim.before_commit")
    saga = store.claim(saga_id, ticket=ticket)
    crash.reach("saga.claim.after_commit")
    if saga is None:
        return None
    begun_by = {"begun_by_request_id": saga.trace_context.get("request_id", "")}
    with (
        structlog.contextvars.bound_contextvars(**begun_by),
        tracing.following(saga.trace_context, f"{saga.definition.name} resumed", _names(saga)) as span,
    ):
        rested = advance(saga, at_rest=at_rest)
        span.set_attribute("saga.status", rested.status)
        return rested


def advance(saga: SagaState, *, at_rest: AtRest | None = None) -> SagaState:
    """Carries on a saga this process holds until it rests.

    `at_rest` runs inside the transaction that brings it to rest, so that an answer that depends on the result
    commits with it. When the lease is lost nothing is written and the last known state comes back.
    """
    if not saga.is_active:
        return saga
    with structlog.contextvars.bound_contextvars(**_names(saga)):
        return _advance(saga, at_rest)


def _advance(saga: SagaState, at_rest: AtRest | None) -> SagaState:
    pending = next((step for step in saga.steps if step.in_doubt and _is_next(saga, step)), None)
    try:
        while True:
            outcome: Outcome | None = None
            if pending is not None:
                outcome = _call(saga, pending)
            saga, pending = _commit(saga, pending, outcome, at_rest)
            if pending is None:
                return saga
    except LeaseLost:
        metrics.LEASES_LOST.labels(saga.definition.name).inc()
        log.warning("saga.lease_lost", saga_id=str(saga.id), definition=saga.definition.name)
        return saga


def _is_next(saga: SagaState, step: StepState) -> bool:
    """True when the intent to call `step`, in this direction, is what was committed last."""
    draft = saga.draft()
    match planner.next_move(draft):
        case CallOut(step=next_step):
            return next_step.id == step.id and draft.direction == saga.direction
    return False


def _commit(
    saga: SagaState, called: StepState | None, outcome: Outcome | None, at_rest: AtRest | None
) -> tuple[SagaState, StepState | None]:
    """One commit boundary. A LOCAL step that refuses, or a cancellation that was requested since the last commit,
    undoes the boundary, which is then repeated knowing that."""
    refusals: dict[str, Failure] = {}
    name = called.name if called else ""
    while True:
        draft = saga.draft()
        try:
            with transaction.atomic(durable=True):
                if called is not None and outcome is not None:
                    planner.record(draft, next(step for step in draft.steps if step.id == called.id), outcome)
                pending = _walk(draft, refusals)
                if pending is None and at_rest is not None:
                    at_rest(draft)
                store.save(draft, keeps_lease=pending is not None)
                if draft.cancel_requested and not saga.cancel_requested and planner.can_still_cancel(draft):
                    raise _CancelArrived
                crash.reach("saga.outcome.before_commit", name, saga.direction)
        except _Refused as refused:
            refusals[refused.step_name] = refused.failure
            continue
        except _CancelArrived:
            saga.cancel_requested = True
            continue
        crash.reach("saga.outcome.after_commit", name, saga.direction)
        if pending is None:
            _count_rest(draft)
        return draft, pending


class _CancelArrived(Exception):
    pass


class _Refused(Exception):
    def __init__(self, step_name: str, failure: Failure) -> None:
        super().__init__(step_name)
        self.step_name, self.failure = step_name, failure


def _walk(saga: SagaState, refusals: Mapping[str, Failure] | None) -> StepState | None:
    """Runs LOCAL steps until the next call, whose intent it marks, or until rest."""
    while True:
        match planner.next_move(saga):
            case RunLocal(step=step, spec=spec):
                _run_local(saga, step, spec, refusals)
            case CallOut(step=step):
                step.intent_is_fresh = not step.in_doubt
                step.in_doubt = True
                return step
            case Rest():
                return None


def _run_local(
    saga: SagaState, step: StepState, spec: LocalStep, refusals: Mapping[str, Failure] | None
) -> None:
    with tracing.span(f"{saga.definition.name} {step.name}", _names(saga, step)) as span:
        outcome = _local_outcome(saga, step, spec, refusals)
        span.set_attribute("saga.outcome", _outcome_name(outcome))
    _note(saga, step, outcome, duration_ms=None)
    planner.record(saga, step, outcome)


def _local_outcome(
    saga: SagaState, step: StepState, spec: LocalStep, refusals: Mapping[str, Failure] | None
) -> Outcome:
    forward = saga.direction == Direction.FORWARD
    handler = spec.execute if forward else spec.compensate
    assert handler is not None
    if refusals and step.name in refusals:
        return refusals[step.name]
    context = Context(saga.id, saga.business_id, saga.data, saga.results, saga.failure)
    try:
        return Success(handler(context) or {})
    except StepFailed as refused:
        if refusals is None:
            raise  # the saga does not exist yet: its caller hears of it
        raise _Refused(step.name, Failure(refused.code, refused.message)) from refused


def _call(saga: SagaState, step: StepState) -> Outcome:
    """Makes one call, with no transaction and no row lock open."""
    assert not connection.in_atomic_block, "no transaction may be open across a call"
    spec = saga.definition.step(step.name)
    assert isinstance(spec, ExternalStep)
    call = Call(
        saga_id=saga.id,
        business_id=saga.business_id,
        data=saga.data,
        results=saga.results,
        key=f"{saga.id}:{step.name}:{saga.direction}",
        attempt=step.retry_count + 1,
        timeout_seconds=spec.timeout_seconds or settings.CHANNEL_TIMEOUT_SECONDS,
    )
    started = time.monotonic()
    crash.reach("saga.call.before", step.name, saga.direction)
    with tracing.span(f"{saga.definition.name} {step.name}", _names(saga, step)) as span:
        outcome = _ask_or_call(saga, step, spec, call)
        crash.reach("saga.call.after", step.name, saga.direction)
        if crash.answer_is_lost(step.name, saga.direction):
            outcome = Unknown("answer lost")
        span.set_attribute("saga.outcome", _outcome_name(outcome))
    _note(saga, step, outcome, duration_ms=round((time.monotonic() - started) * 1000))
    return outcome


def _ask_or_call(saga: SagaState, step: StepState, spec: ExternalStep, call: Call) -> Outcome:
    if saga.direction == Direction.COMPENSATING:
        assert spec.compensate is not None
        return spec.compensate(call)
    if spec.query is not None and not step.intent_is_fresh:
        found = spec.query(call)
        if not isinstance(found, NotFound):
            return found
    return spec.execute(call)


def _note(saga: SagaState, step: StepState, outcome: Outcome, *, duration_ms: int | None) -> None:
    name = _outcome_name(outcome)
    saga.attempts.append(Attempt(step.name, saga.direction, name, _detail(outcome), duration_ms))
    metrics.ATTEMPTS.labels(saga.definition.name, step.name, saga.direction, name).inc()


def _outcome_name(outcome: Outcome) -> str:
    return type(outcome).__name__.lower()


def _names(saga: SagaState, step: StepState | None = None) -> dict[str, str | int]:
    """What a log line or a span is about: the saga, and the number of its business object, as in `payment_no`."""
    about: dict[str, str | int] = {
        "saga_id": str(saga.id),
        f"{saga.definition.business_type}_no": saga.business_id,
    }
    if step is not None:
        about |= {
            "saga.step": step.name,
            "saga.direction": saga.direction.value,
            "saga.attempt": step.retry_count + 1,
        }
    return about


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
        metrics.PARKED.labels(name).inc()
        log.error("saga.needs_attention", saga_id=str(saga.id), definition=name, reason=saga.attention_reason)
