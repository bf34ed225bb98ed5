"""Draws a definition as text: its steps from top to bottom, their compensations, and the pivot."""

import unicodedata

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sagas.definitions import Definition, ExternalStep, OnTimeout, StepKind, StepSpec, WaitingStep

PIVOT = gettext_lazy("pivot: from here on only forward")
KIND_LABELS = {
    StepKind.LOCAL: gettext_lazy("local"),
    StepKind.EXTERNAL: gettext_lazy("external"),
    StepKind.WAITING: gettext_lazy("waiting"),
}


def draw_definition(definition: Definition) -> str:
    width = max(len(step.name) for step in definition.steps)
    lines = [_build_title(definition), "", "  " + _("start"), "  │"]
    for order, step in enumerate(definition.steps, start=1):
        mark = "●" if step.pivot else "○"
        if _begins_group(definition, order):
            lines.append("  ├─ " + _("in parallel"))
        lines.append(
            f"  {mark} {order} {step.name:<{width}}  {_pad(str(KIND_LABELS[step.kind]), 8)}  {_describe(step)}".rstrip()
        )
        if step.pivot:
            lines.append(f"  ┿{'━' * (width + 4)} {PIVOT}")
        elif not _is_inside_group(definition, order):
            lines.append("  │")
    compensation = _("compensation: %(steps)s") % {"steps": _list_compensations(definition)}
    lines += ["  " + _("completed"), "", f"  {compensation}"]
    if definition.resolutions:
        names = " | ".join(resolution.name for resolution in definition.resolutions)
        lines.append("  " + _("resolutions: %(names)s") % {"names": names})
    return "\n".join(lines)


def _pad(text: str, columns: int) -> str:
    """Pads to a width on the terminal, where a Chinese character is two columns wide."""
    width = sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
    return text + " " * (columns - width)


def _get_group(definition: Definition, order: int) -> str:
    step = definition.steps[order - 1] if 0 < order <= len(definition.steps) else None
    return step.group if isinstance(step, ExternalStep) else ""


def _begins_group(definition: Definition, order: int) -> bool:
    group = _get_group(definition, order)
    return group != "" and group != _get_group(definition, order - 1)


def _is_inside_group(definition: Definition, order: int) -> bool:
    group = _get_group(definition, order)
    return group != "" and group == _get_group(definition, order + 1)


def _build_title(definition: Definition) -> str:
    title = _("version %(version)d · about a %(business)s · deadline %(span)s") % {
        "version": definition.version,
        "business": definition.business_type,
        "span": _format_span(definition.deadline_seconds),
    }
    return f"{definition.name} · {title}"


def _format_span(seconds: float) -> str:
    if seconds % 3600 == 0:
        return _("%(number)s h") % {"number": f"{seconds / 3600:g}"}
    if seconds >= 60:
        return _("%(number)s min") % {"number": f"{seconds / 60:g}"}
    return _("%(number)s s") % {"number": f"{seconds:g}"}


def _describe(step: StepSpec) -> str:
    notes = []
    if isinstance(step, ExternalStep):
        notes.append(_describe_doubt(step))
    if isinstance(step, WaitingStep):
        notes.append(_describe_wait(step))
    if step.compensate is not None:
        notes.append(_("compensated by %(function)s") % {"function": step.compensate.__name__})
    elif not step.pivot:
        notes.append(_("nothing to compensate"))
    if isinstance(step, ExternalStep):
        notes.append(_("%(count)d retries") % {"count": step.retry.max_retries})
    if step.pivot:
        notes.append(_("pivot"))
    return ", ".join(notes)


def _describe_doubt(step: ExternalStep) -> str:
    if step.query is None:
        return _("in doubt: repeats the call")
    return _("in doubt: queries with %(function)s") % {"function": step.query.__name__}


def _describe_wait(step: WaitingStep) -> str:
    values = {"signal": step.signal, "span": _format_span(step.timeout_seconds)}
    if step.on_timeout is OnTimeout.FAIL:
        return _("waits for %(signal)s, fails after %(span)s") % values
    return _("waits for %(signal)s, continues after %(span)s") % values


def _list_compensations(definition: Definition) -> str:
    """The steps before the pivot, newest first. The others are never compensated."""
    names = []
    for step in definition.steps:
        if step.pivot:
            break
        if step.compensate is not None:
            names.append(step.name)
    return " → ".join([*reversed(names), _("compensated")])
