"""Draws a definition as text: what it does top to bottom, what undoes it, and where the point of no return is."""

from sagas.definitions import Definition, ExternalStep, OnTimeout, StepSpec, WaitingStep

NO_RETURN = "point of no return: from here on only forward"


def draw(definition: Definition) -> str:
    width = max(len(step.name) for step in definition.steps)
    lines = [_title(definition), "", "  start", "  │"]
    for order, step in enumerate(definition.steps, start=1):
        mark = "●" if step.pivot else "○"
        if _begins_group(definition, order):
            lines.append("  ├─ together")
        lines.append(f"  {mark} {order} {step.name:<{width}}  {step.kind.value:<8}  {_notes(step)}".rstrip())
        if step.pivot:
            lines.append(f"  ┿{'━' * (width + 4)} {NO_RETURN}")
        elif not _is_inside_group(definition, order):
            lines.append("  │")
    return "\n".join([*lines, "  completed", "", f"  turning back: {_way_back(definition)}"])


def _group(definition: Definition, order: int) -> str:
    step = definition.steps[order - 1] if 0 < order <= len(definition.steps) else None
    return step.group if isinstance(step, ExternalStep) else ""


def _begins_group(definition: Definition, order: int) -> bool:
    group = _group(definition, order)
    return group != "" and group != _group(definition, order - 1)


def _is_inside_group(definition: Definition, order: int) -> bool:
    group = _group(definition, order)
    return group != "" and group == _group(definition, order + 1)


def _title(definition: Definition) -> str:
    about = f"version {definition.version} · about a {definition.business_type}"
    return f"{definition.name} · {about} · deadline {_span(definition.deadline_seconds)}"


def _span(seconds: float) -> str:
    if seconds % 3600 == 0:
        return f"{seconds / 3600:g} h"
    return f"{seconds / 60:g} min" if seconds >= 60 else f"{seconds:g} s"


def _notes(step: StepSpec) -> str:
    notes = [f"undone by {step.compensate.__name__}" if step.compensate else "nothing to undo"]
    if isinstance(step, ExternalStep):
        in_doubt = f"asked by {step.query.__name__}" if step.query else "repeated"
        notes.insert(0, f"in doubt: {in_doubt}")
        notes.append(f"{step.retry.max_count} retries")
    if isinstance(step, WaitingStep):
        then = "turns back" if step.on_timeout is OnTimeout.TURN_BACK else "goes on"
        notes.insert(0, f"waits for {step.signal}, after {_span(step.timeout_seconds)} {then}")
    if step.pivot:
        notes = [note for note in notes if note != "nothing to undo"] + ["pivot"]
    return ", ".join(notes)


def _way_back(definition: Definition) -> str:
    """Newest first. What is at or behind the pivot is never undone."""
    names = []
    for step in definition.steps:
        if step.pivot:
            break
        if step.compensate is not None:
            names.append(step.name)
    return " → ".join([*reversed(names), "compensated"])
