"""What a person may do to a saga, decided from its picture alone. The admin, the terminal and the operations
themselves ask here, so that a button that can be pressed is an operation that would be done."""

from collections.abc import Callable

from django.db import models
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sagas.definitions import LOCAL
from sagas.inspection import SagaView
from sagas.models import Direction, SagaStatus, StepStatus


class Operation(models.TextChoices):
    RETRY_NOW = "retry_now", gettext_lazy("Retry now")
    QUERY_CHANNEL = "ask_channel", gettext_lazy("Query the channel")
    SKIP_STEP = "skip_step", gettext_lazy("Skip the step")
    COMPENSATE = "compensate", gettext_lazy("Compensate")
    MARK_RESOLVED = "mark_resolved", gettext_lazy("Mark resolved")
    CANCEL = "cancel", gettext_lazy("Cancel")


MEANINGS = {
    Operation.RETRY_NOW: gettext_lazy("Try the current step at once, with all its retries before it again."),
    Operation.QUERY_CHANNEL: gettext_lazy("Ask what became of the call whose outcome is not known."),
    Operation.SKIP_STEP: gettext_lazy("Declare the current step done, with the result that you give."),
    Operation.COMPENSATE: gettext_lazy("Turn back now, and undo what was done, newest first."),
    Operation.MARK_RESOLVED: gettext_lazy(
        "Close the case: nothing more is done, an open saga becomes failed."
    ),
    Operation.CANCEL: gettext_lazy("Turn back as soon as it is certain that the pivot has not happened."),
}


def allowed(saga: SagaView) -> dict[Operation, str]:
    """For each operation why it may not be done now, or nothing when it may."""
    held = _held(saga)
    return {operation: held or rule(saga) for operation, rule in _RULES.items()}


def _held(saga: SagaView) -> str:
    if not saga.held_by:
        return ""
    return _("%(worker)s is working on it: try again in a moment.") % {"worker": saga.held_by}


def _retry_now(saga: SagaView) -> str:
    return _over(saga) or _unknown(saga)


def _ask_channel(saga: SagaView) -> str:
    if why := _over(saga) or _unknown(saga):
        return why
    if saga.direction == Direction.COMPENSATING:
        return _("A compensation asks by itself before it undoes anything: retry it.")
    if saga.current is None or not saga.current.in_doubt:
        return _("No call is in doubt.")
    if not saga.current.can_be_queried:
        return _("The other side of %(step)s cannot be asked: retry repeats the same call.") % {
            "step": saga.current.name
        }
    return ""


def _skip_step(saga: SagaView) -> str:
    if why := _over(saga) or _unknown(saga):
        return why
    step = saga.current
    if step is None:
        return _("No step is left to skip.")
    if step.kind == LOCAL and saga.resolutions:
        return _("%(step)s changes our own tables: retry it, or mark the saga resolved.") % {
            "step": step.name
        }
    tried = step.in_doubt or step.status == StepStatus.FAILED or saga.waiting_for != ""
    if not (saga.needs_attention or tried):
        return _("%(step)s has not been tried yet.") % {"step": step.name}
    return ""


def _compensate(saga: SagaView) -> str:
    if why := _over(saga) or _unknown(saga) or _cannot_turn(saga):
        return why
    if any(step.pivot and step.in_doubt for step in saga.steps):
        return _("The pivot may have happened: ask the channel first.")
    return ""


def _cancel(saga: SagaView) -> str:
    if why := _over(saga) or _unknown(saga) or _cannot_turn(saga):
        return why
    return _("It has been asked to cancel already.") if saga.cancel_requested_at else ""


def _mark_resolved(saga: SagaView) -> str:
    return _unknown(saga) if saga.needs_attention else _("It does not wait for a person.")


def _over(saga: SagaView) -> str:
    if saga.is_active or (saga.status == SagaStatus.FAILED and saga.needs_attention):
        return ""
    return _("It is over: %(status)s.") % {"status": saga.status.label}


def _unknown(saga: SagaView) -> str:
    if saga.is_known:
        return ""
    return _("This release does not know %(definition)s version %(version)s.") % {
        "definition": saga.definition,
        "version": saga.version,
    }


def _cannot_turn(saga: SagaView) -> str:
    if saga.direction == Direction.COMPENSATING:
        return _("It is turning back already.")
    return _("It is past the pivot: from here on only forward.") if saga.past_pivot else ""


_RULES: dict[Operation, Callable[[SagaView], str]] = {
    Operation.RETRY_NOW: _retry_now,
    Operation.QUERY_CHANNEL: _ask_channel,
    Operation.SKIP_STEP: _skip_step,
    Operation.COMPENSATE: _compensate,
    Operation.MARK_RESOLVED: _mark_resolved,
    Operation.CANCEL: _cancel,
}
