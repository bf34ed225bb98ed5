"""Advances sagas: commits the intent, calls without a transaction, commits the outcome.

Between two calls there is one commit. It has the outcome of the last call, every LOCAL step after it, and the intent of
the next call.

    start.start_saga()  ── in the caller's transaction: LOCAL steps, intent of the first call
    advance_saga()      ── call ─ commit ─ call ─ commit … until the saga ends, waits, or needs review
"""

import uuid
from collections.abc import Callable, Mapping, Sequence

import structlog
from django.db import transaction

from common import crash, tracing
from common.db import repeat_on_conflict
from sagas import calls, metrics, planner, steps, store
from sagas.calls import CallResult
from sagas.models import SagaStatus
from sagas.outcomes import Failure, NextCall, NoEffect
from sagas.planner import MakeCalls, Release
from sagas.state import SagaState, StepState, get_log_fields
from sagas.store import LeaseLost

log = structlog.get_logger(__name__)

OnRelease = Callable[[SagaState], None]


def resume_saga(saga_id: uuid.UUID, *, on_release: OnRelease | None = None) -> SagaState | None:
    """Claims a saga that is due and continues it. None when it is not due, or another worker holds it."""
    crash.reach("saga.claim.before_commit", saga_id=saga_id)
    saga = store.claim_saga(saga_id)
    crash.reach("saga.claim.after_commit", saga_id=saga_id)
    return None if saga is None else resume_claimed_saga(saga, on_release=on_release)


def claim_due_sagas(
    *,
    task_queue: str,
    places: int,
    held: Mapping[str, int],
    possibly_poison: int,
    after: str,
    overdue_seconds: float = 0,
) -> store.ClaimedSagas:
    """Claims due sagas. The caller must pass each to `resume_claimed_saga`. Parameters: see `store.claim_due_sagas`."""
    with transaction.atomic(durable=True):
        claimed = store.claim_due_sagas(
            task_queue=task_queue,
            places=places,
            held=held,
            possibly_poison=possibly_poison,
            after=after,
            overdue_seconds=overdue_seconds,
        )
        for saga in claimed.sagas:
            crash.reach("saga.claim.before_commit", saga_id=saga.id)
    for saga in claimed.sagas:
        crash.reach("saga.claim.after_commit", saga_id=saga.id)
    return claimed


def resume_claimed_saga(saga: SagaState, *, on_release: OnRelease | None = None) -> SagaState:
    """Advances a saga that this process has claimed, in the trace of the request that started it."""
    started_by = {"begun_by_request_id": saga.trace_context.get("request_id", "")}
    span_name = f"{saga.definition.name} resumed"
    with (
        structlog.contextvars.bound_contextvars(**started_by),
        tracing.continue_trace(saga.trace_context, span_name, get_log_fields(saga)) as span,
    ):
        released = advance_saga(saga, on_release=on_release)
        span.set_attribute("saga.status", released.status)
        return released


def advance_saga(saga: SagaState, *, on_release: OnRelease | None = None) -> SagaState:
    """Continues a saga that this process holds until it is released: ended, waiting, or in need of review.

    `on_release` runs inside the transaction that releases it, so that an API answer that depends on the saga commits
    with it. When the lease is lost, nothing is written and the last known state is returned.
    """
    if not saga.is_active:
        return saga
    with structlog.contextvars.bound_contextvars(**get_log_fields(saga)):
        intended = _get_intended_calls(saga)
        try:
            while True:
                results = calls.make_calls(saga, intended) if intended else []
                saga, intended = _commit(saga, results, on_release)
                if not intended:
                    return saga
        except LeaseLost:
            metrics.LEASES_LOST.labels(saga.definition.name).inc()
            log.warning("saga.lease_lost", saga_id=str(saga.id), definition=saga.definition.name)
            return saga


def _get_intended_calls(saga: SagaState) -> Sequence[StepState]:
    """The calls that may be made before the next commit, because their intent is committed already."""
    fresh = [step for step in saga.steps if step.in_doubt and step.has_fresh_intent]
    if fresh and not saga.waits_for_retry:
        return fresh  # of a saga that this process has just started
    draft = saga.make_draft()
    move = planner.next_move(draft)
    if not isinstance(move, MakeCalls) or draft.direction != saga.direction:
        return ()  # there is something to commit first: LOCAL steps, a turn to compensation, or the release
    next_calls = [saga.get_step(step.name) for step in move.steps]
    return next_calls if all(step.in_doubt for step in next_calls) else ()


def _commit(
    saga: SagaState, results: Sequence[CallResult], on_release: OnRelease | None
) -> tuple[SagaState, Sequence[StepState]]:
    """Commits the results, the LOCAL steps that follow, and the intent of the next calls, which it returns."""
    for result in results:
        steps.add_attempt(saga, result.step_name, result.outcome, duration_ms=result.duration_ms)
    committed = _commit_with_one_statement(saga, results, on_release)
    draft, intended = committed or _commit_in_transaction(saga, results, on_release)
    _reach_crash_points_after_commit(saga, results)
    if not intended:
        _count_release(draft)
    return draft, intended


def _commit_with_one_statement(
    saga: SagaState, results: Sequence[CallResult], on_release: OnRelease | None
) -> tuple[SagaState, Sequence[StepState]] | None:
    """Commits with the statement that saves the saga, without BEGIN and COMMIT, when nothing else is written.

    None when more is to be written, and when a cancellation has come or the lease is lost: a transaction decides.
    """
    if any(isinstance(result.outcome, NextCall) for result in results):
        return None  # its handler may write
    draft = saga.make_draft()
    _record_results(draft, results, {})
    move = planner.next_move(draft)
    if not isinstance(move, MakeCalls) and not (isinstance(move, Release) and on_release is None):
        return None
    intended = steps.run_local_steps(draft, {})  # no step runs: marks the intent of the calls
    _reach_crash_points_before_commit(saga, results)

    def save() -> None:
        store.save_saga(draft, keeps_lease=bool(intended), accepts_cancellation=saga.cancel_requested)

    try:
        repeat_on_conflict(save)
    except LeaseLost:
        return None
    return draft, intended


def _commit_in_transaction(
    saga: SagaState, results: Sequence[CallResult], on_release: OnRelease | None
) -> tuple[SagaState, Sequence[StepState]]:
    """Commits the results with what LOCAL steps and `on_release` write.

    When a LOCAL step refuses, or a cancellation or a signal has come since the last commit, the transaction is rolled
    back and repeated with that knowledge. After a deadlock it is repeated unchanged.
    """
    refusals: dict[str, Failure] = {}

    def write() -> tuple[SagaState, Sequence[StepState]]:
        draft = saga.make_draft()
        with transaction.atomic(durable=True):
            _record_results(draft, results, refusals)
            intended = steps.run_local_steps(draft, refusals)
            if not intended and on_release is not None:
                on_release(draft)
            store.save_saga(draft, keeps_lease=bool(intended), accepts_cancellation=True)
            _require_nothing_arrived(saga, draft)
            _reach_crash_points_before_commit(saga, results)
        return draft, intended

    while True:
        try:
            return repeat_on_conflict(write)
        except steps.StepRefused as refused:
            refusals[refused.step_name] = refused.failure
        except _CancellationArrived:
            saga.cancel_requested = True
        except _SignalArrived as arrived:
            saga.signals_received = arrived.signals_received


def _record_results(saga: SagaState, results: Sequence[CallResult], refusals: Mapping[str, Failure]) -> None:
    for result in results:
        step = saga.get_step(result.step_name)
        outcome = refusals.get(step.name, result.outcome)
        planner.record_outcome(saga, step, outcome)
        if isinstance(outcome, NextCall):
            steps.run_before_next_call(saga, step)
    planner.align_retries(saga)


class _CancellationArrived(Exception):
    pass


class _SignalArrived(Exception):
    def __init__(self, signals_received: int) -> None:
        super().__init__()
        self.signals_received = signals_received


def _require_nothing_arrived(saga: SagaState, draft: SagaState) -> None:
    """Saving has locked the saga's row: a cancellation or signal that comes later waits for this commit."""
    if draft.cancel_requested and not saga.cancel_requested and planner.can_cancel(draft):
        raise _CancellationArrived
    if draft.found_no_signal and draft.signals_received != saga.signals_received:
        raise _SignalArrived(draft.signals_received)


def _reach_crash_points_before_commit(saga: SagaState, results: Sequence[CallResult]) -> None:
    for name in [result.step_name for result in results] or [""]:
        crash.reach("saga.outcome.before_commit", name, saga.direction, saga_id=saga.id)
    for result in results:
        if isinstance(result.outcome, NoEffect):
            crash.reach("saga.new_call.before_commit", result.step_name, saga.direction, saga_id=saga.id)


def _reach_crash_points_after_commit(saga: SagaState, results: Sequence[CallResult]) -> None:
    for name in [result.step_name for result in results] or [""]:
        crash.reach("saga.outcome.after_commit", name, saga.direction, saga_id=saga.id)
    for result in results:
        if isinstance(result.outcome, NoEffect):
            crash.reach("saga.new_call.after_commit", result.step_name, saga.direction, saga_id=saga.id)


def _count_release(saga: SagaState) -> None:
    name = saga.definition.name
    ended = {
        SagaStatus.COMPLETED: metrics.COMPLETED,
        SagaStatus.COMPENSATED: metrics.COMPENSATED,
        SagaStatus.FAILED: metrics.FAILED,
    }.get(saga.status)
    if ended is not None:
        ended.labels(name).inc()
        metrics.DURATION.labels(name, saga.status).observe(saga.age_seconds)
        log.info("saga.finished", saga_id=str(saga.id), definition=name, status=saga.status)
    if saga.needs_attention:
        metrics.NEEDS_REVIEW.labels(name).inc()
        log.error("saga.needs_review", saga_id=str(saga.id), definition=name, reason=saga.attention_reason)
