"""Loads and saves sagas, for the worker that holds them. The SQL is in `statements.py`."""

import datetime as dt
import json
import os
import socket
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connection

from sagas import registry, statements
from sagas.models import Direction, StepStatus
from sagas.outcomes import Failure
from sagas.state import SagaState, StepState

QUEUE = "queue"
# How long a dispatched saga waits for a worker before the sweep offers it again; never longer than a lease,
# because a ticket can be lost as a worker can.
DISPATCH_SECONDS = 15
SWEEP_BATCH = 100


class LeaseLost(Exception):
    """Another worker holds the saga now. Whatever this one was about to write must be rolled back."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """The right to claim a saga that a sweep has dispatched: good once."""

    saga_id: uuid.UUID
    fence: int


def worker_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"[:100]


def insert(saga: SagaState, *, leased: bool) -> None:
    """Writes a new saga, its steps and its first history in the caller's transaction."""
    with connection.cursor() as cursor:
        cursor.execute(
            statements.INSERT,
            {
                "id": saga.id,
                "business_id": saga.business_id,
                "business_type": saga.definition.business_type,
                "definition": saga.definition.name,
                "definition_version": saga.definition.version,
                "status": saga.status,
                "past_pivot": saga.past_pivot,
                "current_step": saga.current_step,
                "metadata": _json(saga.data),
                "lease_owner": worker_name() if leased else "",
                "lease_seconds": settings.SAGA_LEASE_SECONDS if leased else 0,
                "deadline_seconds": saga.definition.deadline_seconds,
                "fence": saga.fence,
                "trace_context": _json(saga.trace_context),
                "worker": worker_name(),
                "steps": _json([_step_row(step) for step in saga.steps]),
                "attempts": _attempt_rows(saga),
            },
        )
        (now,) = cursor.fetchone()
    _written(saga, now)


def save(saga: SagaState, *, keeps_lease: bool) -> None:
    """Writes what changed and renews or gives back the lease. Raises `LeaseLost`."""
    with connection.cursor() as cursor:
        cursor.execute(
            statements.SAVE,
            {
                "id": saga.id,
                "fence": saga.fence,
                "status": saga.status,
                "direction": saga.direction,
                "past_pivot": saga.past_pivot,
                "current_step": saga.current_step,
                "error_code": saga.failure.code if saga.failure else "",
                "error_message": saga.failure.message if saga.failure else "",
                "attention_reason": saga.attention_reason,
                "claims_without_progress": saga.claims_without_progress,
                "waits_for": saga.waits_for,
                "wait_seconds": saga.wait_seconds,
                "keeps_lease": keeps_lease,
                "lease_seconds": settings.SAGA_LEASE_SECONDS,
                "worker": worker_name(),
                "steps": _json([_step_row(step) for step in saga.steps]),
                "attempts": _attempt_rows(saga),
            },
        )
        row = cursor.fetchone()
    if row is None:
        raise LeaseLost(saga.id)
    *facts, now = row
    saga.cancel_requested, saga.deadline_passed, saga.age_seconds, saga.signals_received = facts
    _written(saga, now)


def _written(saga: SagaState, now: dt.datetime) -> None:
    """What was to be written once has been, at `now` by the database's clock."""
    saga.attempts.clear()
    for step in saga.steps:
        step.intended_at = now if step.is_new_call else step.intended_at
        step.executed_now = step.compensated_now = step.is_new_call = False


def claim(saga_id: uuid.UUID, *, ticket: int | None = None) -> SagaState | None:
    """Takes the saga for this worker, or answers None when it is not due, held by another or at rest."""
    with connection.cursor() as cursor:
        cursor.execute(
            statements.CLAIM,
            {
                "id": saga_id,
                "ticket": ticket,
                "worker": worker_name(),
                "lease_seconds": settings.SAGA_LEASE_SECONDS,
            },
        )
        row = cursor.fetchone()
        if row is None:
            return None
        columns = [column.name for column in cursor.description]
        saga_row = dict(zip(columns, row, strict=True))
        definition = registry.find(saga_row["definition"], saga_row["definition_version"])
        if definition is None:
            reason = f"no definition {saga_row['definition']} version {saga_row['definition_version']}"
            cursor.execute(statements.PARK_UNKNOWN, [reason, saga_id, saga_row["fence"]])
            return None
        cursor.execute(statements.STEPS, [saga_id])
        steps = [_step_state(step_row) for step_row in cursor.fetchall()]
    return SagaState(
        id=saga_id,
        definition=definition,
        business_id=saga_row["business_id"],
        data=_loaded(saga_row["metadata"]),
        steps=steps,
        direction=Direction(saga_row["direction"]),
        past_pivot=saga_row["past_pivot"],
        failure=Failure(saga_row["error_code"], saga_row["error_message"])
        if saga_row["error_code"]
        else None,
        fence=saga_row["fence"],
        claims_without_progress=saga_row["claims_without_progress"],
        deadline_passed=saga_row["deadline_passed"],
        cancel_requested=saga_row["cancel_requested"],
        waits_for=saga_row["waiting_for"],
        wait_is_over=saga_row["wait_is_over"],
        signals_received=saga_row["signals_received"],
        trace_context=_loaded(saga_row["trace_context"]),
    )


def dispatch(*, batch: int = SWEEP_BATCH) -> list[Ticket]:
    """Picks due sagas, at most a batch, and hands out a ticket for each. Costs the same whatever has finished."""
    with connection.cursor() as cursor:
        seconds = min(DISPATCH_SECONDS, settings.SAGA_LEASE_SECONDS)
        cursor.execute(statements.DISPATCH, {"batch": batch, "dispatch_seconds": seconds})
        return [Ticket(saga_id=saga_id, fence=fence) for saga_id, fence in cursor.fetchall()]


def _step_row(step: StepState) -> dict[str, Any]:
    return {
        "id": step.id,
        "step_order": step.order,
        "step_name": step.name,
        "status": step.status,
        "in_doubt": step.in_doubt,
        "compensating": step.compensating,
        "result": step.result,
        "error_message": step.error_message[:2000],
        "retry_count": step.retry_count,
        "max_retry_count": step.max_retry_count,
        "retry_in_seconds": step.retry_in_seconds,
        "call_number": step.call_number,
        "is_new_call": step.is_new_call,
        "intended_at": step.intended_at,
        "executed_now": step.executed_now,
        "compensated_now": step.compensated_now,
    }


def _step_state(row: Sequence[Any]) -> StepState:
    return StepState(
        id=row[0],
        order=row[1],
        name=row[2],
        status=StepStatus(row[3]),
        in_doubt=row[4],
        compensating=row[5],
        result=_loaded(row[6]),
        error_message=row[7],
        retry_count=row[8],
        max_retry_count=row[9],
        call_number=row[10],
        intended_at=row[11],
    )


def _attempt_rows(saga: SagaState) -> str:
    return _json(
        [
            {
                "step_name": attempt.step_name,
                "direction": attempt.direction,
                "outcome": attempt.outcome,
                "detail": attempt.detail,
                "duration_ms": attempt.duration_ms,
            }
            for attempt in saga.attempts
        ]
    )


def _json(value: Any) -> str:
    return json.dumps(value, default=_plain, ensure_ascii=False)


def _plain(value: Any) -> str:
    if isinstance(value, uuid.UUID | dt.datetime):
        return str(value)
    raise TypeError(f"{type(value).__name__} does not belong in a saga")


def _loaded(value: Any) -> Any:
    # Django registers a psycopg loader that leaves jsonb as text for its JSONField to decode.
    return json.loads(value) if isinstance(value, str) else value
