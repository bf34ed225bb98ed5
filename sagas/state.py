"""A saga in memory, while one worker holds it. Plain data: `planner` changes it, `store` loads and saves it."""

import dataclasses
import datetime as dt
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from common.ids import uuid7
from sagas.definitions import Definition, RowsOfStart
from sagas.models import (
    ACTIVE_SAGA_STATUSES,
    DEFAULT_FAIRNESS_KEY,
    DEFAULT_TASK_QUEUE,
    SAGA_TRANSITIONS,
    Direction,
    SagaStatus,
    StepStatus,
)
from sagas.outcomes import Failure, Json


@dataclass(slots=True)
class StepState:
    """A step. Its fields belong to the row, to the next commit, or to this worker alone."""

    # The row of `saga_steps`.
    id: uuid.UUID
    order: int
    name: str
    max_retry_count: int
    status: StepStatus = StepStatus.PENDING
    in_doubt: bool = False  # its call may have happened, in either direction
    compensating: bool = False  # its compensation has begun
    result: Json | None = None
    error_message: str = ""
    retry_count: int = 0
    call_number: int = 1  # raised when a call is made with a new key
    intended_at: dt.datetime | None = None  # when the intent of the forward call of this number was committed

    # For the next commit.
    retry_in_seconds: float | None = None  # the step waits for a retry, which is due after this time
    execute_data: Json | None = None  # the input of the step
    sets_intended_at: bool = False
    sets_executed_at: bool = False
    sets_compensated_at: bool = False

    # Known to this worker alone, never stored.
    has_fresh_intent: bool = False  # it committed the intent: no worker before it can have made the call
    is_first_call: bool = False  # and the call is no repetition

    @property
    def was_attempted(self) -> bool:
        return self.status == StepStatus.COMPLETED or self.in_doubt or self.compensating

    @property
    def has_failed_for_good(self) -> bool:
        return self.status == StepStatus.FAILED and self.retry_in_seconds is None


@dataclass(frozen=True, slots=True)
class StepAttempt:
    """One row of `saga_events`: an attempt of a step, and its outcome."""

    step_name: str
    direction: Direction
    outcome: str
    detail: Json = field(default_factory=dict)
    duration_ms: int | None = None


@dataclass(frozen=True, slots=True)
class UpdateWithRelease:
    """An UPDATE of a row of another table, which is part of the statement that releases the saga. `record` is called
    with True when the row was found. The names of its parameters begin with `answer_`, so that they differ from those
    of the saga."""

    sql: str
    params: Mapping[str, Any]
    record: Callable[[bool], None]


@dataclass(slots=True)
class SagaState:
    """A saga. Its fields belong to the row, to the last claim or commit, to the next commit, or to this worker."""

    # The row of `saga_instances`.
    id: uuid.UUID
    definition: Definition
    business_id: str
    data: Json
    steps: list[StepState]
    task_queue: str = DEFAULT_TASK_QUEUE
    fairness_key: str = DEFAULT_FAIRNESS_KEY
    status: SagaStatus = SagaStatus.IN_PROGRESS
    direction: Direction = Direction.FORWARD
    past_pivot: bool = False
    failure: Failure | None = None
    attention_reason: str = ""
    fence: int = 1
    claims_without_progress: int = 0
    waiting_for: str = ""  # the name of a signal; the step that needs it is the next one
    trace_context: dict[str, str] = field(default_factory=dict)

    # Read with the last claim or commit, by the database's clock.
    deadline_passed: bool = False
    cancel_requested: bool = False
    wait_is_over: bool = False
    signals_received: int = 0
    age_seconds: float = 0.0

    # For the next commit.
    deadline_in_seconds: float | None = None  # of a new saga, or of a wait that extends the deadline
    wait_seconds: float | None = None  # of a wait that begins now
    attempts: list[StepAttempt] = field(default_factory=list)
    rows_of_start: RowsOfStart | None = None  # until the saga is inserted
    update_with_release: UpdateWithRelease | None = None  # set by `on_release`

    # Known to this worker alone, never stored.
    found_no_signal: bool = False  # since the last commit
    redacted_data: Json | None = None  # `data` for `execute_data` of the steps; made when first needed
    written_objects: dict[str, Any] = field(default_factory=dict)  # see `Context.written_objects`

    def move_to(self, status: SagaStatus) -> None:
        assert status in SAGA_TRANSITIONS[self.status], f"a saga that is {self.status} cannot become {status}"
        self.status = status

    @property
    def results(self) -> dict[str, Json]:
        return {step.name: step.result for step in self.steps if step.result is not None}

    @property
    def current_step(self) -> int:
        """The number of completed steps."""
        return sum(step.status == StepStatus.COMPLETED for step in self.steps)

    @property
    def is_active(self) -> bool:
        return self.status in ACTIVE_SAGA_STATUSES

    @property
    def needs_attention(self) -> bool:
        return bool(self.attention_reason)

    @property
    def waits_for_retry(self) -> bool:
        return any(step.retry_in_seconds is not None for step in self.steps)

    def get_step(self, name: str) -> StepState:
        return next(step for step in self.steps if step.name == name)

    def make_draft(self) -> "SagaState":
        """A copy that can be changed, and thrown away when its transaction fails."""
        steps = [dataclasses.replace(step) for step in self.steps]
        return dataclasses.replace(
            self,
            steps=steps,
            attempts=list(self.attempts),
            written_objects={},
            found_no_signal=False,
            update_with_release=None,
        )


def create_state(
    definition: Definition,
    *,
    saga_id: uuid.UUID,
    business_id: str,
    data: dict[str, Any],
    deadline_seconds: float | None = None,
) -> SagaState:
    steps = [
        StepState(id=uuid7(), order=order, name=spec.name, max_retry_count=spec.retry.max_retries)
        for order, spec in enumerate(definition.steps, start=1)
    ]
    return SagaState(
        id=saga_id,
        definition=definition,
        business_id=business_id,
        data=data,
        steps=steps,
        deadline_in_seconds=definition.deadline_seconds if deadline_seconds is None else deadline_seconds,
    )


def get_call_key(saga: SagaState, step: StepState, direction: Direction) -> str:
    """The idempotency key of a call. A compensation has one key, because it queries before it undoes anything."""
    key = f"{saga.id}:{step.name}:{direction}"
    return f"{key}#{step.call_number}" if direction == Direction.FORWARD and step.call_number > 1 else key


def get_log_fields(saga: SagaState, step: StepState | None = None) -> dict[str, str | int]:
    """The saga's id and its business number (`payment_no`), and the step, for log lines and spans."""
    fields: dict[str, str | int] = {
        "saga_id": str(saga.id),
        f"{saga.definition.business_type}_no": saga.business_id,
    }
    if step is not None:
        fields |= {
            "saga.step": step.name,
            "saga.direction": saga.direction.value,
            "saga.attempt": step.retry_count + 1,
        }
    return fields
