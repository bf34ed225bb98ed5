"""Starts sagas. Nothing else inserts a saga: import-linter allows no other module to call the insert."""

import uuid
from collections.abc import Mapping
from typing import Any

from django.db import connection

from common import tracing
from common.api.request_id import current_request_id
from sagas import metrics, registry, steps, store, wakeups
from sagas.definitions import Definition, RowsOfStart
from sagas.models import DEFAULT_FAIRNESS_KEY, DEFAULT_TASK_QUEUE, SagaStatus
from sagas.state import SagaState, create_state


def start_saga(
    definition: Definition,
    *,
    saga_id: uuid.UUID,
    business_id: str,
    data: Mapping[str, Any],
    leased: bool = True,
    deadline_seconds: float | None = None,
    task_queue: str = DEFAULT_TASK_QUEUE,
    fairness_key: str = DEFAULT_FAIRNESS_KEY,
    rows_of_start: RowsOfStart | None = None,
) -> SagaState:
    """Starts a saga inside the caller's transaction: it exists if and only if that commits. With `rows_of_start`, the
    saga and these rows are inserted with one statement outside a transaction instead.

    With `leased`, this process holds the saga and must call `engine.advance_saga` after the commit. The LOCAL steps
    before the first call run here, and their exceptions go to the caller, whose transaction is rolled back. Without
    `leased`, a worker claims the saga after the commit. `deadline_seconds` replaces the definition's deadline.

    A worker serves one `task_queue`. Within it the fairness keys take turns, so a backlog of one key never delays the
    sagas of another.
    """
    assert connection.in_atomic_block == (rows_of_start is None), (
        "a saga starts inside the transaction that creates its business object, or together with that object"
    )
    known = registry.find_definition(definition.name, definition.version)
    assert known is definition, f"{definition.name} version {definition.version} is not registered"
    saga = create_state(
        definition,
        saga_id=saga_id,
        business_id=business_id,
        data=dict(data),
        deadline_seconds=deadline_seconds,
    )
    saga.task_queue, saga.fairness_key, saga.rows_of_start = task_queue, fairness_key, rows_of_start
    saga.trace_context = {**tracing.current_context(), "request_id": current_request_id()}
    if leased:
        steps.run_first_local_steps(saga)
    else:
        saga.status = SagaStatus.PENDING
        wakeups.send_wakeup_after_commit(task_queue)
    _insert(saga, leased=leased)
    metrics.STARTED.labels(definition.name).inc()
    return saga


def _insert(saga: SagaState, *, leased: bool) -> None:
    if saga.rows_of_start is None:
        store.insert_saga(saga, leased=leased)
        return
    attempts = list(saga.attempts)
    store.insert_saga(saga, leased=leased, rows=saga.rows_of_start.rows)
    steps.count_attempts(saga, attempts)
    saga.rows_of_start = None
