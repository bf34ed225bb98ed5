"""Formats sagas as text for a terminal: aligned columns, the newest event last."""

import datetime as dt
import json
from collections.abc import Mapping, Sequence

from backoffice.renderers.saga_labels import describe_progress, describe_wait, format_age, format_duration
from backoffice.services.saga_inspection import SagaDetails
from sagas.availability import Operation
from sagas.inspection import SagaEventView, SagaView, StepView
from sagas.models import Direction, SagaEvent, StepStatus
from sagas.operations import SagaChange
from sagas.outcomes import Json

# The subcommands of `manage.py saga`.
COMMAND_OPERATIONS = {
    "retry": Operation.RETRY_NOW,
    "query": Operation.QUERY_CHANNEL,
    "skip": Operation.SKIP_STEP,
    "compensate": Operation.COMPENSATE,
    "resolve": Operation.MARK_RESOLVED,
    "cancel": Operation.CANCEL,
}
# A signal has no direction.
ARROWS: Mapping[str, str] = {Direction.FORWARD: "→", Direction.COMPENSATING: "←"}


def format_sagas(sagas: Sequence[SagaView]) -> str:
    if not sagas:
        return "no sagas"
    head = ("ID", "DEFINITION", "BUSINESS ID", "STATUS", "STEP", "AGE", "WAITS FOR")
    rows = [
        (
            str(saga.id),
            saga.definition,
            saga.business_id,
            saga.status.value,
            describe_progress(saga),
            format_duration(saga.seen_at - saga.created_at),
            describe_wait(saga),
        )
        for saga in sagas
    ]
    return "\n".join(align_columns([head, *rows]))


def format_saga_details(details: SagaDetails) -> str:
    saga = details.saga
    return "\n".join(
        [
            f"{saga.definition} version {saga.version} · {saga.business_id}",
            "",
            *align_columns(_facts(saga), indent=2),
            "",
            "Steps",
            *_steps(saga, details.history),
            *_signals(saga),
            "",
            "History",
            *align_columns([_event(event) for event in details.history], indent=2),
            "",
            "Operations",
            *_operations(details),
        ]
    )


def format_changes(done: SagaChange) -> str:
    """Returns the changed fields: `status: failed → in_progress, step.retry_count: 3 → 0`."""
    return _changes(done.before, done.after)


def _changes(was: Json, is_now: Json) -> str:
    before, after = _flat(was), _flat(is_now)
    return ", ".join(
        f"{name}: {before[name]} → {value}" if name in before else f"{name}: {value}"
        for name, value in after.items()
        if name not in before or before[name] != value
    )


def _flat(facts: Json, prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in facts.items():
        inner = name == "step" and isinstance(value, dict)
        flat |= _flat(value, "step.") if inner else {f"{prefix}{name}": json.dumps(value, ensure_ascii=False)}
    return flat


def align_columns(rows: Sequence[Sequence[str]], *, indent: int = 0) -> list[str]:
    """Pads columns to their widest value, except the last one. An empty column is left out."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        (
            " " * indent
            + "  ".join(f"{value:<{width}}" for value, width in zip(row, widths, strict=True) if width)
        ).rstrip()
        for row in rows
    ]


def _facts(saga: SagaView) -> list[tuple[str, str]]:
    facts = [
        ("id", str(saga.id)),
        ("status", f"{saga.status.value}, {saga.direction.value}, {_pivot(saga)}"),
        ("state", describe_wait(saga)),
        ("held by", _holder(saga)),
        ("revision", f"{saga.revision} (fence {saga.fence})"),
        ("started", f"{_moment(saga.created_at)} ({format_age(saga, saga.created_at)})"),
    ]
    if saga.is_active:
        facts.append(("deadline", f"{_moment(saga.deadline_at)} ({format_age(saga, saga.deadline_at)})"))
    if saga.ended_at:
        facts.append(
            ("ended", f"{_moment(saga.ended_at)} (took {format_duration(saga.ended_at - saga.created_at)})")
        )
    if saga.cancel_requested_at:
        facts.append(("cancel", f"requested {format_age(saga, saga.cancel_requested_at)}"))
    if saga.error_code:
        facts.append(("error", f"{saga.error_code}: {saga.error_message}"))
    return facts


def _pivot(saga: SagaView) -> str:
    if saga.past_pivot:
        return "past the pivot"
    return "before the pivot" if any(step.pivot for step in saga.steps) else "no pivot"


def _holder(saga: SagaView) -> str:
    if saga.held_by and saga.lease_expires_at:
        return f"{saga.held_by}, lease ends {format_age(saga, saga.lease_expires_at)}"
    return "nobody"


def _steps(saga: SagaView, history: Sequence[SagaEventView]) -> list[str]:
    head = ("#", "STEP", "KIND", "STATUS", "IN DOUBT", "RETRIES", "NEXT TRY", "TOOK", "LAST CHANGE")
    rows = align_columns([head, *(_step(saga, step, history) for step in saga.steps)], indent=2)
    lines = rows[:1]
    for line, step in zip(rows[1:], saga.steps, strict=True):
        lines.append(line)
        if step.error_message:
            lines.append(f"     ! {step.error_message}")
    return lines


def _step(saga: SagaView, step: StepView, history: Sequence[SagaEventView]) -> tuple[str, ...]:
    status = step.status.value
    if step.compensating and step.status != StepStatus.COMPENSATED:
        status += ", compensating"
    changed = step.compensated_at or step.executed_at
    return (
        f"{step.order}{'→' if saga.is_active and step == saga.current else ''}",
        f"{step.name}{' ●' if step.pivot else ''}",
        step.kind or "?",
        status,
        "in doubt" if step.in_doubt else "",
        f"{step.retry_count} of {step.max_retry_count}",
        format_age(saga, step.next_retry_at) if step.next_retry_at else "",
        _total_duration(step.name, history),
        _moment(changed) if changed else "",
    )


def _total_duration(step_name: str, history: Sequence[SagaEventView]) -> str:
    """Returns the duration of all calls of the step together."""
    spent = [event.duration_ms for event in history if event.step_name == step_name and event.duration_ms]
    return format_duration(dt.timedelta(milliseconds=sum(spent))) if spent else ""


def _signals(saga: SagaView) -> list[str]:
    if not saga.signals:
        return []
    rows = [
        (_moment(signal.received_at), signal.name, signal.signal_id, signal.taken_by or "not received yet")
        for signal in saga.signals
    ]
    return ["", "Signals", *align_columns([("RECEIVED", "SIGNAL", "ID", "TAKEN UP BY"), *rows], indent=2)]


def _event(event: SagaEventView) -> tuple[str, ...]:
    arrow = ARROWS.get(event.direction, "·")
    if event.kind == SagaEvent.Kind.PERSON:
        text = f"{event.actor}: {event.reason} ({_changes(event.detail['before'], event.detail['after'])})"
        return (_moment(event.at), arrow, event.step_name, event.outcome, "", text)
    took = (
        format_duration(dt.timedelta(milliseconds=event.duration_ms)) if event.duration_ms is not None else ""
    )
    detail = ", ".join(f"{name}: {value}" for name, value in event.detail.items())
    return (_moment(event.at), arrow, event.step_name, event.outcome, took, detail)


def _operations(details: SagaDetails) -> list[str]:
    """Returns each subcommand and whether it is available; under `resolve` also the resolutions."""
    rows = [
        (verb, "no" if details.operations[operation] else "yes", details.operations[operation])
        for verb, operation in COMMAND_OPERATIONS.items()
    ]
    lines = align_columns(rows, indent=2)
    if not details.operations[Operation.MARK_RESOLVED] and details.saga.resolutions:
        resolutions = align_columns(
            [(f"--as {each.name}", str(each.meaning)) for each in details.saga.resolutions], indent=4
        )
        at = list(COMMAND_OPERATIONS).index("resolve") + 1
        lines[at:at] = resolutions
    return lines


def _moment(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
