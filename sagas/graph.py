"""Draws a definition as text: what it does top to bottom, what undoes it, and where the point of no return is."""

from sagas.definitions import Definition, ExternalStep, StepSpec

NO_RETURN = "point of no return: from here on only forward"


def draw(definition: Definition) -> str:
    width = max(len(step.name) for step in definition.steps)
    lines = [_title(definition), "", "  start", "  │"]
    for order, step in enumerate(definition.steps, start=1):
        mark = "●" if step.pivot else "○"
        lines.append(f"  {mark} {order} {step.name:<{width}}  {step.kind.value:<8}  {_notes(step)}".rstrip())
        lines.append(f"  ┿{'━' * (width + 4)} {NO_RETURN}" if step.pivot else "  │")
    return "\n".join([*lines, "  completed", "", f"  turning back: {_way_back(definition)}"])


def _title(definition: Definition) -> str:
    deadline = definition.deadline_seconds
    span = f"{deadline // 3600} h" if deadline % 3600 == 0 else f"{deadline / 60:g} min"
    return f"{definition.name} · version {definition.version} · about a {definition.business_type} · deadline {span}"


def _notes(step: StepSpec) -> str:
    notes = [f"undone by {step.compensate.__name__}" if step.compensate else "nothing to undo"]
    if isinstance(step, ExternalStep):
        in_doubt = f"asked by {step.query.__name__}" if step.query else "repeated"
        notes.insert(0, f"in doubt: {in_doubt}")
        notes.append(f"{step.retry.max_count} retries")
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
