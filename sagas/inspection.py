"""Read-only views of a saga for people, at one moment of the database's clock.

The rules of `sagas.availability`, the saga's page and the terminal use the same view. Its `revision` names the state
that a person has seen: an operation is refused when the saga has changed since.
"""

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import QuerySet
from django.db.models.functions import Now

from common.clock import database_now
from sagas import registry
from sagas.definitions import Definition, ExternalStep, Resolution
from sagas.models import (
    ACTIVE_SAGA_STATUSES,
    Direction,
    SagaEvent,
    SagaInstance,
    SagaSignal,
    SagaStatus,
    SagaStep,
    StepStatus,
)
from sagas.outcomes import Json
from sagas.thresholds import STUCK_AFTER_SECONDS


@dataclass(frozen=True, slots=True)
class StepView:
    order: int
    name: str
    kind: str  # local, external or waiting; empty when this release does not know the definition
    pivot: bool
    can_be_queried: bool  # the other system can be asked for the outcome of a call
    status: StepStatus
    in_doubt: bool
    compensating: bool
    retry_count: int
    max_retry_count: int
    next_retry_at: dt.datetime | None
    executed_at: dt.datetime | None
    compensated_at: dt.datetime | None
    error_message: str
    result: Json | None

    @property
    def was_attempted(self) -> bool:
        return self.status == StepStatus.COMPLETED or self.in_doubt or self.compensating


@dataclass(frozen=True, slots=True)
class SignalView:
    """A delivered signal. `taken_by` is the step that consumed it; empty while none has."""

    name: str
    signal_id: str
    received_at: dt.datetime
    taken_by: str


@dataclass(frozen=True, slots=True)
class SagaView:
    id: uuid.UUID
    business_id: str
    task_queue: str
    definition: str
    version: int
    is_known: bool  # this release can run it
    status: SagaStatus
    direction: Direction
    past_pivot: bool
    needs_attention: bool
    attention_reason: str
    error_code: str
    error_message: str
    lease_owner: str
    lease_expires_at: dt.datetime | None
    cancel_requested_at: dt.datetime | None
    deadline_at: dt.datetime
    waiting_for: str  # a signal
    waiting_until: dt.datetime | None
    signals: tuple[SignalView, ...]
    created_at: dt.datetime
    ended_at: dt.datetime | None
    fence: int
    revision: int
    steps: tuple[StepView, ...]
    resolutions: tuple[Resolution, ...]  # staff choose one of them to close the saga
    seen_at: dt.datetime

    @property
    def is_active(self) -> bool:
        return self.status in ACTIVE_SAGA_STATUSES

    @property
    def held_by(self) -> str:
        """The worker that holds the saga; empty when its lease has expired."""
        return self.lease_owner if self.is_leased else ""

    @property
    def is_leased(self) -> bool:
        return self.lease_expires_at is not None and self.lease_expires_at > self.seen_at

    @property
    def current(self) -> StepView | None:
        """The step to be executed or compensated next."""
        if self.direction == Direction.FORWARD:
            return next((step for step in self.steps if step.status != StepStatus.COMPLETED), None)
        attempted = (step for step in reversed(self.steps) if step.was_attempted)
        return next((step for step in attempted if step.status != StepStatus.COMPENSATED), None)


@dataclass(frozen=True, slots=True)
class SagaEventView:
    at: dt.datetime
    kind: str
    step_name: str
    direction: str
    outcome: str
    detail: Json
    duration_ms: int | None
    worker: str
    actor: str
    reason: str


def get_saga_view(saga_id: uuid.UUID) -> SagaView | None:
    return next(iter(get_saga_views(SagaInstance.objects.filter(id=saga_id))), None)


def get_saga_views(sagas: QuerySet[SagaInstance]) -> list[SagaView]:
    """The views of these sagas in their order: four queries, however many they are."""
    rows = list(sagas.prefetch_related("steps", "signals"))
    now = database_now()
    return [build_saga_view(saga, list(saga.steps.all()), now) for saga in rows]


def filter_due(sagas: QuerySet[SagaInstance]) -> QuerySet[SagaInstance]:
    """The sagas that a worker may claim now."""
    return sagas.filter(due_at__lte=Now())


def filter_stuck(sagas: QuerySet[SagaInstance]) -> QuerySet[SagaInstance]:
    """The sagas that have been due for `STUCK_AFTER_SECONDS` and that no worker has claimed."""
    return sagas.filter(due_at__lt=Now() - dt.timedelta(seconds=STUCK_AFTER_SECONDS))


def build_saga_view(saga: SagaInstance, steps: Sequence[SagaStep], now: dt.datetime) -> SagaView:
    definition = registry.find_definition(saga.definition, saga.definition_version)
    return SagaView(
        id=saga.id,
        business_id=saga.business_id,
        task_queue=saga.task_queue,
        definition=saga.definition,
        version=saga.definition_version,
        is_known=definition is not None,
        status=SagaStatus(saga.status),
        direction=Direction(saga.direction),
        past_pivot=saga.past_pivot,
        needs_attention=saga.needs_attention,
        attention_reason=saga.attention_reason,
        error_code=saga.error_code,
        error_message=saga.error_message,
        lease_owner=saga.lease_owner,
        lease_expires_at=saga.lease_expires_at,
        cancel_requested_at=saga.cancel_requested_at,
        deadline_at=saga.deadline_at,
        waiting_for=saga.waiting_for,
        waiting_until=saga.waiting_until,
        signals=tuple(_build_signal_view(signal) for signal in saga.signals.all()),
        created_at=saga.created_at,
        ended_at=saga.completed_at or saga.compensated_at,
        fence=saga.fence,
        revision=saga.revision,
        steps=tuple(_build_step_view(step, definition) for step in steps),
        resolutions=definition.resolutions if definition else (),
        seen_at=now,
    )


def _build_signal_view(signal: SagaSignal) -> SignalView:
    return SignalView(signal.name, signal.signal_id, signal.received_at, signal.taken_by)


def _build_step_view(step: SagaStep, definition: Definition | None) -> StepView:
    spec = definition.get_step(step.step_name) if definition else None
    return StepView(
        order=step.step_order,
        name=step.step_name,
        kind=spec.kind.value if spec else "",
        pivot=spec.pivot if spec else False,
        can_be_queried=isinstance(spec, ExternalStep) and spec.query is not None,
        status=StepStatus(step.status),
        in_doubt=step.in_doubt,
        compensating=step.compensating,
        retry_count=step.retry_count,
        max_retry_count=step.max_retry_count,
        next_retry_at=step.next_retry_at,
        executed_at=step.executed_at,
        compensated_at=step.compensated_at,
        error_message=step.error_message,
        result=step.result,
    )


def get_saga_history(saga_id: uuid.UUID) -> tuple[SagaEventView, ...]:
    return tuple(
        SagaEventView(
            at=event.created_at,
            kind=event.kind,
            step_name=event.step_name,
            direction=event.direction,
            outcome=event.outcome,
            detail=event.detail,
            duration_ms=event.duration_ms,
            worker=event.worker,
            actor=event.actor,
            reason=event.reason,
        )
        for event in SagaEvent.objects.filter(saga_id=saga_id)
    )
