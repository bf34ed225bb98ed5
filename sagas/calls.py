"""Calls other systems. No transaction is open and no connection is held meanwhile, and nothing is written before all
calls have ended."""

import contextvars
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from django.conf import settings
from django.db import connections

from common import crash, tracing
from common.external_calls import release_connections, use_fairness_key
from sagas.definitions import Call, ExternalStep
from sagas.models import Direction
from sagas.outcomes import CallNotFound, Outcome, Unknown, get_outcome_name
from sagas.state import SagaState, StepState, get_call_key, get_log_fields


@dataclass(frozen=True, slots=True)
class CallResult:
    step_name: str
    outcome: Outcome
    duration_ms: int


def make_calls(saga: SagaState, steps: Sequence[StepState]) -> list[CallResult]:
    """Makes the calls of these steps at the same time, waits for all, and returns their results in the order of the
    steps."""
    release_connections()
    with use_fairness_key(saga.fairness_key):
        return _make_calls(saga, steps)


def _make_calls(saga: SagaState, steps: Sequence[StepState]) -> list[CallResult]:
    if len(steps) < 2:
        return [_make_call(saga, step) for step in steps]
    with ThreadPoolExecutor(len(steps), thread_name_prefix="saga-call") as threads:
        futures = [
            threads.submit(contextvars.copy_context().run, _make_call_in_thread, saga, step) for step in steps
        ]
    return [future.result() for future in futures]


def _make_call_in_thread(saga: SagaState, step: StepState) -> CallResult:
    try:
        return _make_call(saga, step)
    finally:
        connections.close_all()  # each thread has connections of its own, and this thread ends here


def _make_call(saga: SagaState, step: StepState) -> CallResult:
    spec = saga.definition.get_step(step.name)
    assert isinstance(spec, ExternalStep)
    assert step.intended_at is not None, "an intent is committed before its call"
    call = Call(
        saga_id=saga.id,
        business_id=saga.business_id,
        data=saga.data,
        results=saga.results,
        key=get_call_key(saga, step, saga.direction),
        attempt=step.retry_count + 1,
        timeout_seconds=spec.timeout_seconds or settings.CHANNEL_TIMEOUT_SECONDS,
        forward_key=get_call_key(saga, step, Direction.FORWARD),
        intended_at=step.intended_at,
    )
    started = time.monotonic()
    crash.reach("saga.call.before", step.name, saga.direction, saga_id=saga.id)
    with tracing.span(f"{saga.definition.name} {step.name}", get_log_fields(saga, step)) as span:
        outcome = _query_or_call(saga, step, spec, call)
        crash.reach("saga.call.after", step.name, saga.direction, saga_id=saga.id)
        if crash.answer_is_lost(step.name, saga.direction):
            outcome = Unknown("answer lost")
        span.set_attribute("saga.outcome", get_outcome_name(outcome))
    return CallResult(step.name, outcome, round((time.monotonic() - started) * 1000))


def _query_or_call(saga: SagaState, step: StepState, spec: ExternalStep, call: Call) -> Outcome:
    if saga.direction == Direction.COMPENSATING:
        assert spec.compensate is not None
        return spec.compensate(call)
    may_have_happened = not step.has_fresh_intent
    is_checked_repetition = spec.queries_before_each_repetition and not step.is_first_call
    if spec.query is not None and (may_have_happened or is_checked_repetition):
        queried = spec.query(call)
        if not isinstance(queried, CallNotFound):
            return queried
    return spec.execute(call)
