"""The contents of a saga's page: attempts on one time axis, current state, steps with requests and answers."""

import dataclasses
import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _

from backoffice.renderers.redaction import redacted_json
from backoffice.renderers.saga_labels import describe_wait, format_duration, format_milliseconds, outcome_tone
from backoffice.renderers.saga_recommendation import recommend_operation
from backoffice.renderers.saga_subject import find_saga_subject
from backoffice.services.saga_inspection import SagaDetails
from common.time_zones import format_exactly
from sagas import inspection, registry
from sagas.graph import draw_definition
from sagas.inspection import SagaEventView, SagaView, StepView
from sagas.labels import outcome_label
from sagas.models import Direction, SagaEvent, SagaStatus, SagaStep

AXIS = 1000  # units of the time axis
SHORTEST_BAR = 6  # so that a call of milliseconds in a saga of days is seen
MAX_ATTEMPTS = 500  # on the page; the download has all of them
TONES = {
    SagaStatus.PENDING: ("schedule", "info"),
    SagaStatus.IN_PROGRESS: ("sync", "info"),
    SagaStatus.COMPLETED: ("check_circle", "success"),
    SagaStatus.COMPENSATED: ("undo", "warning"),
    SagaStatus.FAILED: ("cancel", "danger"),
}

Payloads = Mapping[int, Mapping[str, Any]]  # of each step, by its order


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """One axis for all attempts, from the start of the saga until its end, or until now."""

    start: dt.datetime
    end: dt.datetime

    @property
    def length(self) -> str:
        return format_duration(self.end - self.start)

    def place(self, start: dt.datetime, end: dt.datetime) -> tuple[int, int]:
        """Returns where a bar begins and how long it is, both in units of the axis."""
        total = (self.end - self.start).total_seconds() or 1
        length = max(SHORTEST_BAR, round(AXIS * (end - start).total_seconds() / total))
        begin = round(AXIS * (start - self.start).total_seconds() / total)
        return min(max(begin, 0), AXIS - SHORTEST_BAR), min(length, AXIS)


@dataclass(frozen=True, slots=True)
class AttemptRow:
    started: dt.datetime
    title: str
    direction: str | Promise
    is_compensation: bool
    outcome: str | Promise
    tone: str
    duration: str
    bar_start: int  # on the time axis
    bar_length: int
    error: str
    by: str
    detail: str


@dataclass(frozen=True, slots=True)
class StepRow:
    step: StepView
    status: str | Promise
    retries: str
    request: str
    answer: str


def page_context(saga: SagaView) -> dict[str, Any]:
    history = inspection.get_saga_history(saga.id)[-MAX_ATTEMPTS:]
    icon, tone = TONES[saga.status]
    definition = registry.find_definition(saga.definition, saga.version)
    payloads = load_payloads(saga.id)
    axis = _build_axis(saga, history)
    return {
        "saga": saga,
        "subject": find_saga_subject(saga),
        "recommendation": recommend_operation(saga),
        "state_icon": icon,
        "state_tone": tone,
        "waits_for": describe_wait(saga),
        "now": _current_state(saga),
        "axis": axis,
        "attempts": [_attempt(event, axis) for event in reversed(history)],
        "steps": [_step(step, payloads.get(step.order, {})) for step in saga.steps],
        "graph": draw_definition(definition) if definition else "",
    }


def _build_axis(saga: SagaView, history: Sequence[SagaEventView]) -> TimeAxis:
    """A saga that stopped for review may have waited for days: its axis ends with its last attempt."""
    end = saga.ended_at or saga.seen_at
    if saga.needs_attention and history:
        end = history[-1].at
    return TimeAxis(saga.created_at, max(end, saga.created_at))


def load_payloads(saga_id: uuid.UUID) -> Payloads:
    steps = SagaStep.objects.filter(saga_id=saga_id)
    return {
        order: {"execute_data": execute, "result": result, "compensate_data": compensate}
        for order, execute, result, compensate in steps.values_list(
            "step_order", "execute_data", "result", "compensate_data"
        )
    }


def format_json(details: SagaDetails, payloads: Payloads) -> str:
    """Returns the saga, its steps and its whole history, redacted like the page."""
    saga = dataclasses.asdict(details.saga)
    saga["steps"] = [{**step, **payloads.get(step["order"], {})} for step in saga["steps"]]
    history = [dataclasses.asdict(event) for event in details.history]
    return redacted_json({"saga": saga, "history": history})


def _current_state(saga: SagaView) -> list[tuple[str, str]]:
    """Returns labels and values of the current state."""
    step = saga.current
    rows = [(_("State"), describe_wait(saga))]
    if saga.is_active:
        if step is not None:
            rows.append((_("Step"), step.name))
        if step is not None and step.next_retry_at:
            rows.append((_("Next retry"), format_exactly(step.next_retry_at)))
        held = saga.held_by or _("nobody")
        rows.append((_("Lease holder"), held))
        if saga.held_by and saga.lease_expires_at:
            rows.append((_("Lease ends in"), format_duration(saga.lease_expires_at - saga.seen_at)))
        rows.append((_("Deadline"), format_exactly(saga.deadline_at)))
    rows.append((_("Age"), format_duration((saga.ended_at or saga.seen_at) - saga.created_at)))
    return rows


def _attempt(event: SagaEventView, axis: TimeAxis) -> AttemptRow:
    length = event.duration_ms or 0
    started = event.at - dt.timedelta(milliseconds=length)
    bar_start, bar_length = axis.place(started, event.at)
    is_by_person = event.kind == SagaEvent.Kind.PERSON
    texts = [value for value in event.detail.values() if value and value is not True]  # without flags
    error = "" if is_by_person else " ".join(map(str, texts))
    return AttemptRow(
        started=started,
        title=event.step_name,
        direction=Direction(event.direction).label if event.direction else "",
        is_compensation=event.direction == Direction.COMPENSATING,
        outcome=outcome_label(event.outcome),
        tone="warning" if is_by_person else outcome_tone(event.outcome),
        duration=format_milliseconds(length) if event.duration_ms is not None else "",
        bar_start=bar_start,
        bar_length=bar_length,
        error=error,
        by=f"{event.actor}: {event.reason}" if is_by_person else event.worker,
        detail=redacted_json(event.detail) if is_by_person else "",
    )


def _step(step: StepView, given: Mapping[str, Any]) -> StepRow:
    request = {
        name: given[name] for name in ("execute_data", "compensate_data") if given.get(name) is not None
    }
    return StepRow(
        step=step,
        status=step.status.label,
        retries=f"{step.retry_count}/{step.max_retry_count}",
        request=redacted_json(request) if request else "",
        answer=redacted_json(given["result"]) if given.get("result") else "",
    )
