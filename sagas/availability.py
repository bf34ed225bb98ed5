"""Which operations staff may perform on a saga, decided from its `SagaView` alone. The admin, the terminal and the
operations themselves use these rules, so that an enabled button is an operation that will be performed."""

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
    Operation.RETRY_NOW: gettext_lazy("Retries the current step at once and resets its retries."),
    Operation.QUERY_CHANNEL: gettext_lazy("Queries the channel about the call whose outcome is unknown."),
    Operation.SKIP_STEP: gettext_lazy("Marks the current step as completed, with the result that you enter."),
    Operation.COMPENSATE: gettext_lazy("Compensates now: the attempted steps in reverse order."),
    Operation.MARK_RESOLVED: gettext_lazy(
        "Closes the saga: no worker continues it, and an open saga becomes failed."
    ),
    Operation.CANCEL: gettext_lazy("Compensates once it is certain that the pivot has not happened."),
}


def get_refusals(saga: SagaView) -> dict[Operation, str]:
    """For each operation the reason why it is not allowed now; empty when it is."""
    held = _refuse_held(saga)
    return {operation: held or rule(saga) for operation, rule in _RULES.items()}


def _refuse_held(saga: SagaView) -> str:
    if not saga.held_by:
        return ""
    return _("%(worker)s holds the saga: try again in a moment.") % {"worker": saga.held_by}


def _refuse_retry(saga: SagaView) -> str:
    return _refuse_ended(saga) or _refuse_unknown(saga)


def _refuse_query(saga: SagaView) -> str:
    if reason := _refuse_ended(saga) or _refuse_unknown(saga):
        return reason
    if saga.direction == Direction.COMPENSATING:
        return _("A compensation queries the channel first by itself: retry it.")
    if saga.current is None or not saga.current.in_doubt:
        return _("No call is in doubt.")
    if not saga.current.can_be_queried:
        return _("%(step)s cannot be queried: a retry repeats the same call.") % {"step": saga.current.name}
    return ""


def _refuse_skip(saga: SagaView) -> str:
    if reason := _refuse_ended(saga) or _refuse_unknown(saga):
        return reason
    step = saga.current
    if step is None:
        return _("No step is left to skip.")
    if step.kind == LOCAL and saga.resolutions:
        return _("%(step)s changes our own tables: retry it, or mark the saga resolved.") % {
            "step": step.name
        }
    was_tried = step.in_doubt or step.status == StepStatus.FAILED or saga.waiting_for != ""
    if not (saga.needs_attention or was_tried):
        return _("%(step)s has not been attempted yet.") % {"step": step.name}
    return ""


def _refuse_compensation(saga: SagaView) -> str:
    if reason := _refuse_ended(saga) or _refuse_unknown(saga) or _refuse_past_pivot(saga):
        return reason
    if any(step.pivot and step.in_doubt for step in saga.steps):
        return _("The pivot may have happened: query the channel first.")
    return ""


def _refuse_cancellation(saga: SagaView) -> str:
    if reason := _refuse_ended(saga) or _refuse_unknown(saga) or _refuse_past_pivot(saga):
        return reason
    return _("Its cancellation has already been requested.") if saga.cancel_requested_at else ""


def _refuse_resolution(saga: SagaView) -> str:
    return _refuse_unknown(saga) if saga.needs_attention else _("The saga does not need review.")


def _refuse_ended(saga: SagaView) -> str:
    if saga.is_active or (saga.status == SagaStatus.FAILED and saga.needs_attention):
        return ""
    return _("The saga has ended: %(status)s.") % {"status": saga.status.label}


def _refuse_unknown(saga: SagaView) -> str:
    if saga.is_known:
        return ""
    return _("This release does not know %(definition)s version %(version)s.") % {
        "definition": saga.definition,
        "version": saga.version,
    }


def _refuse_past_pivot(saga: SagaView) -> str:
    if saga.direction == Direction.COMPENSATING:
        return _("The saga is already being compensated.")
    return _("The saga is past the pivot: it can only go forward.") if saga.past_pivot else ""


_RULES: dict[Operation, Callable[[SagaView], str]] = {
    Operation.RETRY_NOW: _refuse_retry,
    Operation.QUERY_CHANNEL: _refuse_query,
    Operation.SKIP_STEP: _refuse_skip,
    Operation.COMPENSATE: _refuse_compensation,
    Operation.MARK_RESOLVED: _refuse_resolution,
    Operation.CANCEL: _refuse_cancellation,
}
