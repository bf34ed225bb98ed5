"""Draws a definition as text: what it does top to bottom, what undoes it, and where the point of no return is."""

import unicodedata

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sagas.definitions import Definition, ExternalStep, OnTimeout, StepKind, StepSpec, WaitingStep

NO_RETURN = gettext_lazy("point of no return: from here on only forward")
KINDS = {
    StepKind.LOCAL: gettext_lazy("local"),
    StepKind.EXTERNAL: gettext_lazy("external"),
    StepKind.WAITING: gettext_lazy("waiting"),
}


def draw(definition: Definition) -> str:
    width = max(len(step.name) for step in definition.steps)
    lines = [_title(definition), "", "  " + _("start"), "  │"]
    for order, step in enumerate(definition.steps, start=1):
        mark = "●" if step.pivot else "○"
        if _begins_group(definition, order):
            lines.append("  ├─ " + _("together"))
        lines.append(
            f"  {mark} {order} {step.name:<{width}}  {_padded(str(KINDS[step.kind]), 8)}  {_notes(step)}".rstrip()
        )
        if step.pivot:
            lines.append(f"  ┿{'━' * (width + 4)} {NO_RETURN}")
        elif not _is_inside_group(definition, order):
            lines.append("  │")
    back = _("turning back: %(way)s") % {"way": _way_back(definition)}
    by_hand = [f"  {_('by hand')}: {' | '.join(each.name for each in definition.resolutions)}"]
    return "\n".join(
        [*lines, "  " + _("completed"), "", f"  {back}", *(by_hand if definition.resolutions else ())]
    )


def _padded(text: str, columns: int) -> str:
    """A Chinese character is two columns wide."""
    taken = sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
    return text + " " * (columns - taken)


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
    about = _("version %(version)d · about a %(business)s · deadline %(span)s") % {
        "version": definition.version,
        "business": definition.business_type,
        "span": _span(definition.deadline_seconds),
    }
    return f"{definition.name} · {about}"


def _span(seconds: float) -> str:
    if seconds % 3600 == 0:
        return f"{seconds / 3600:g} h"
    return f"{seconds / 60:g} min" if seconds >= 60 else f"{seconds:g} s"


def _notes(step: StepSpec) -> str:
    notes = []
    if isinstance(step, ExternalStep):
        notes.append(_in_doubt(step))
    if isinstance(step, WaitingStep):
        notes.append(_waits(step))
    if step.compensate is not None:
        notes.append(_("undone by %(function)s") % {"function": step.compensate.__name__})
    elif not step.pivot:
        notes.append(_("nothing to undo"))
    if isinstance(step, ExternalStep):
        notes.append(_("%(count)d retries") % {"count": step.retry.max_count})
    if step.pivot:
        notes.append(_("pivot"))
    return ", ".join(notes)


def _in_doubt(step: ExternalStep) -> str:
    if step.query is None:
        return _("in doubt: repeated")
    return _("in doubt: asked by %(function)s") % {"function": step.query.__name__}


def _waits(step: WaitingStep) -> str:
    told = {"signal": step.signal, "span": _span(step.timeout_seconds)}
    if step.on_timeout is OnTimeout.FAIL:
        return _("waits for %(signal)s, after %(span)s turns back") % told
    return _("waits for %(signal)s, after %(span)s goes on") % told


def _way_back(definition: Definition) -> str:
    """Newest first. What is at or behind the pivot is never undone."""
    names = []
    for step in definition.steps:
        if step.pivot:
            break
        if step.compensate is not None:
            names.append(step.name)
    return " → ".join([*reversed(names), _("compensated")])
