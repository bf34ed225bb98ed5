"""Loads and saves sagas, for the worker that holds them. The SQL is in `statements.py`."""

import datetime as dt
import functools
import json
import os
import socket
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from django.conf import settings
from django.db import connection, models
from django.db.backends.utils import CursorWrapper

from common.db import build_inserts, mark_inserted
from sagas import registry, statements
from sagas.definitions import Definition
from sagas.models import Direction, StepStatus
from sagas.outcomes import Failure
from sagas.state import SagaState, StepState
from sagas.stop_reasons import UNKNOWN_DEFINITION

# A claim reads at most so many fairness keys, and so many sagas of each, so that its cost is bounded.
KEYS_PER_CLAIM = 64
SAGAS_PER_KEY = 24
# A saga of a newer release is due again after a pause, so that a worker of that release can claim it. One that is older
# than the time for which two releases run together needs review: the newer release was rolled back.
UNKNOWN_DEFINITION_PAUSE_SECONDS = 5.0
ROLL_OUT_SECONDS = 3600.0

log = structlog.get_logger(__name__)


class LeaseLost(Exception):
    """Another worker holds the saga now. This worker must roll back what it was about to write."""


@dataclass(frozen=True, slots=True)
class ClaimedSagas:
    """The sagas of one claim, and what the next claim must know."""

    sagas: Sequence[SagaState]
    has_more: bool  # further sagas are due: no place was free, or their key holds its share of the places
    was_contended: bool  # another worker claimed some of them first
    last_key: str  # the next claim continues after this fairness key; empty when all keys were read


def get_worker_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"[:100]


def insert_saga(saga: SagaState, *, leased: bool, rows: Sequence[models.Model] = ()) -> None:
    """Inserts a new saga, its steps and its first history, and `rows` before them, with one statement."""
    inserts = build_inserts(rows)
    with connection.cursor() as cursor:
        cursor.execute(
            _compile_insert(inserts.sql),
            {
                **inserts.params,
                "id": saga.id,
                "business_id": saga.business_id,
                "business_type": saga.definition.business_type,
                "definition": saga.definition.name,
                "definition_version": saga.definition.version,
                "status": saga.status,
                "past_pivot": saga.past_pivot,
                "current_step": saga.current_step,
                "metadata": _to_json(saga.data),
                "lease_owner": get_worker_name() if leased else "",
                "lease_seconds": settings.SAGA_LEASE_SECONDS if leased else 0,
                "deadline_in_seconds": saga.deadline_in_seconds,
                "fence": saga.fence,
                "task_queue": saga.task_queue,
                "fairness_key": saga.fairness_key,
                "trace_context": _to_json(saga.trace_context),
                "worker": get_worker_name(),
                "steps": _to_json([_build_step_row(step) for step in saga.steps]),
                "attempts": _build_attempt_rows(saga),
            },
        )
        (now,) = cursor.fetchone()
    mark_inserted(rows)
    _mark_written(saga, now)


@functools.lru_cache(maxsize=128)
def _compile_insert(inserts: str) -> str:
    """PostgreSQL runs them before the saga's, because they come after those (`build_inserts`)."""
    return statements.INSERT.format(rows=f", {inserts}" if inserts else "")


def save_saga(saga: SagaState, *, keeps_lease: bool, accepts_cancellation: bool) -> None:
    """Writes what changed, and renews or releases the lease. Without `accepts_cancellation`, nothing is written when a
    cancellation is stored. Raises `LeaseLost` when nothing was written.
    """
    update = saga.update_with_release
    with connection.cursor() as cursor:
        cursor.execute(
            _compile_save(update.sql if update else ""),
            {
                **(update.params if update else {}),
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
                "waiting_for": saga.waiting_for,
                "wait_seconds": saga.wait_seconds,
                "deadline_in_seconds": saga.deadline_in_seconds,
                "keeps_lease": keeps_lease,
                "accepts_cancellation": accepts_cancellation,
                "lease_seconds": settings.SAGA_LEASE_SECONDS,
                "worker": get_worker_name(),
                "steps": _to_json([_build_step_row(step) for step in saga.steps]),
                "attempts": _build_attempt_rows(saga),
            },
        )
        row = cursor.fetchone()
    if row is None:
        raise LeaseLost(saga.id)
    cancel_requested, deadline_passed, age_seconds, signals_received, now, *updated = row
    saga.cancel_requested, saga.deadline_passed = cancel_requested, deadline_passed
    saga.age_seconds, saga.signals_received = age_seconds, signals_received
    if update is not None:
        update.record(updated == [1])
    _mark_written(saga, now)


@functools.lru_cache(maxsize=8)
def _compile_save(update: str) -> str:
    if not update:
        return statements.SAVE.format(update="", updated="")
    return statements.SAVE.format(
        update=f", updated AS ({update} RETURNING 1)", updated=", (SELECT count(*) FROM updated)"
    )


def _mark_written(saga: SagaState, now: dt.datetime) -> None:
    """Clears what must be written only once. It was written at `now`, by the database's clock."""
    saga.attempts.clear()
    saga.deadline_in_seconds = None
    for step in saga.steps:
        step.intended_at = now if step.sets_intended_at else step.intended_at
        step.execute_data = None
        step.sets_executed_at = step.sets_compensated_at = step.sets_intended_at = False


def claim_saga(saga_id: uuid.UUID) -> SagaState | None:
    """Claims one saga. None when it is not due, or another worker holds it."""
    with connection.cursor() as cursor:
        cursor.execute(statements.CLAIM, {"id": saga_id, **_get_lease_parameters()})
        known = _find_definitions(cursor, _fetch_rows(cursor))
        return _load_sagas(cursor, known)[0] if known else None


def claim_due_sagas(
    *,
    task_queue: str,
    places: int,
    held: Mapping[str, int] | None = None,
    possibly_poison: int = 1,
    after: str = "",
    overdue_seconds: float = 0,
) -> ClaimedSagas:
    """Claims due sagas of a queue, at most `places`, fairly between fairness keys.

    `held` has the number of sagas of each key that this process holds already. Of the sagas whose last
    worker died, at most `possibly_poison` are claimed. `after` is the `last_key` of the claim before. Sagas that have
    been due for less than `overdue_seconds` are left out. The cost does not depend on how many sagas are due.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            statements.CLAIM_DUE,
            get_claim_parameters(
                task_queue=task_queue,
                places=places,
                held=held or {},
                possibly_poison=possibly_poison,
                after=after,
                overdue_seconds=overdue_seconds,
            ),
        )
        rows = _fetch_rows(cursor)
        totals = rows[0]
        claimed = [row for row in rows if row["id"] is not None]
        known = _find_definitions(cursor, claimed)
        return ClaimedSagas(
            sagas=_load_sagas(cursor, known),
            has_more=totals["candidates"] > len(claimed),
            was_contended=totals["picked"] > len(claimed),
            last_key=totals["last_key"] if totals["walked"] == KEYS_PER_CLAIM else "",
        )


def get_claim_parameters(
    *,
    task_queue: str,
    places: int,
    held: Mapping[str, int],
    possibly_poison: int,
    after: str,
    overdue_seconds: float = 0,
) -> dict[str, Any]:
    """The parameters of `CLAIM_DUE`."""
    return {
        "task_queue": task_queue,
        "places": places,
        "held": json.dumps(dict(held)),
        "possibly_poison": possibly_poison,
        "after": after,
        "overdue_seconds": overdue_seconds,
        "keys": KEYS_PER_CLAIM,
        "window": SAGAS_PER_KEY,
        **_get_lease_parameters(),
    }


def _get_lease_parameters() -> dict[str, Any]:
    return {"worker": get_worker_name(), "lease_seconds": settings.SAGA_LEASE_SECONDS}


def _fetch_rows(cursor: CursorWrapper) -> list[dict[str, Any]]:
    columns = [column.name for column in cursor.description]
    return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]


def _find_definitions(
    cursor: CursorWrapper, rows: Sequence[dict[str, Any]]
) -> list[tuple[dict[str, Any], Definition]]:
    """The rows whose definition this release has, with it. The other sagas are left to a newer release."""
    found = []
    for row in rows:
        definition = registry.find_definition(row["definition"], row["definition_version"])
        if definition is None:
            _put_back(cursor, row)
        else:
            found.append((row, definition))
    return found


def _put_back(cursor: CursorWrapper, row: dict[str, Any]) -> None:
    reason = UNKNOWN_DEFINITION % {"definition": row["definition"], "version": row["definition_version"]}
    pauses = {"roll_out_seconds": ROLL_OUT_SECONDS, "pause_seconds": UNKNOWN_DEFINITION_PAUSE_SECONDS}
    cursor.execute(statements.PUT_BACK, {"id": row["id"], "fence": row["fence"], "reason": reason, **pauses})
    log.warning("saga.definition_unknown", saga_id=str(row["id"]), reason=reason)


def _load_sagas(cursor: CursorWrapper, found: Sequence[tuple[dict[str, Any], Definition]]) -> list[SagaState]:
    if not found:
        return []
    cursor.execute(statements.STEPS, [[row["id"] for row, _definition in found]])
    steps: dict[uuid.UUID, list[StepState]] = {row["id"]: [] for row, _definition in found}
    for *step, saga_id in cursor.fetchall():
        steps[saga_id].append(_build_step_state(step))
    return [_build_saga_state(row, definition, steps[row["id"]]) for row, definition in found]


def _build_saga_state(row: dict[str, Any], definition: Definition, steps: list[StepState]) -> SagaState:
    return SagaState(
        id=row["id"],
        definition=definition,
        business_id=row["business_id"],
        data=_parse_json(row["metadata"]),
        steps=steps,
        task_queue=row["task_queue"],
        fairness_key=row["fairness_key"],
        direction=Direction(row["direction"]),
        past_pivot=row["past_pivot"],
        failure=Failure(row["error_code"], row["error_message"]) if row["error_code"] else None,
        fence=row["fence"],
        claims_without_progress=row["claims_without_progress"],
        deadline_passed=row["deadline_passed"],
        cancel_requested=row["cancel_requested"],
        waiting_for=row["waiting_for"],
        wait_is_over=row["wait_is_over"],
        signals_received=row["signals_received"],
        trace_context=_parse_json(row["trace_context"]),
    )


def _build_step_row(step: StepState) -> dict[str, Any]:
    return {
        "id": step.id,
        "step_order": step.order,
        "step_name": step.name,
        "status": step.status,
        "in_doubt": step.in_doubt,
        "compensating": step.compensating,
        "execute_data": step.execute_data,
        "result": step.result,
        "error_message": step.error_message[:2000],
        "retry_count": step.retry_count,
        "max_retry_count": step.max_retry_count,
        "retry_in_seconds": step.retry_in_seconds,
        "call_number": step.call_number,
        "sets_intended_at": step.sets_intended_at,
        "intended_at": step.intended_at,
        "sets_executed_at": step.sets_executed_at,
        "sets_compensated_at": step.sets_compensated_at,
    }


def _build_step_state(row: Sequence[Any]) -> StepState:
    return StepState(
        id=row[0],
        order=row[1],
        name=row[2],
        status=StepStatus(row[3]),
        in_doubt=row[4],
        compensating=row[5],
        result=_parse_json(row[6]),
        error_message=row[7],
        retry_count=row[8],
        max_retry_count=row[9],
        call_number=row[10],
        intended_at=row[11],
    )


def _build_attempt_rows(saga: SagaState) -> str:
    return _to_json(
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


def _to_json(value: Any) -> str:
    return json.dumps(value, default=_encode_value, ensure_ascii=False)


def _encode_value(value: Any) -> str:
    if isinstance(value, uuid.UUID | dt.datetime):
        return str(value)
    raise TypeError(f"a saga cannot store a {type(value).__name__}")


def _parse_json(value: Any) -> Any:
    # Django registers a psycopg loader that leaves jsonb as text for its JSONField to decode.
    return json.loads(value) if isinstance(value, str) else value
