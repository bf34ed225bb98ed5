"""What an operation would do, said before it is done."""

from django.utils.translation import gettext as _

from sagas import registry
from sagas.availability import Operation
from sagas.inspection import SagaView, StepView
from sagas.models import StepStatus


def effects(saga: SagaView, operation: Operation, given: str = "") -> list[str]:
    """`given`: the resolution that a person chose for a saga that they close."""
    step = saga.current
    match operation:
        case Operation.RETRY_NOW:
            return _retry(step)
        case Operation.QUERY_CHANNEL:
            return [_("Queries the channel about %(step)s. Nothing is charged or refunded.") % _named(step)]
        case Operation.SKIP_STEP:
            return _skip(saga, step)
        case Operation.COMPENSATE:
            return _undone(saga)
        case Operation.CANCEL:
            return [_("Compensates after its next commit, unless the pivot has happened."), *_undone(saga)]
        case Operation.MARK_RESOLVED:
            return _resolve(saga, given)


def _retry(step: StepView | None) -> list[str]:
    if step is None:
        return [_("Resumes the saga.")]
    lines = []
    if step.in_doubt and step.can_be_queried:
        lines.append(_("Queries the channel about %(step)s first.") % _named(step))
    lines.append(
        _("Retries %(step)s at once and resets its retries, of which %(used)d of %(most)d are used.")
        % {**_named(step), "used": step.retry_count, "most": step.max_retry_count}
    )
    return lines


def _skip(saga: SagaView, step: StepView | None) -> list[str]:
    lines = [_("Marks %(step)s as done. The channel is not called.") % _named(step)]
    later = [each.name for each in saga.steps if step and each.order > step.order]
    if later:
        lines.append(_("Next: %(steps)s.") % {"steps": ", ".join(later)})
    return lines


def _undone(saga: SagaView) -> list[str]:
    definition = registry.find_definition(saga.definition, saga.version)
    undoable = {each.name for each in definition.steps if each.compensate} if definition else set()
    names = [
        step.name
        for step in reversed(saga.steps)
        if step.was_attempted and step.status != StepStatus.COMPENSATED and step.name in undoable
    ]
    if not names:
        return [_("Nothing has to be undone: the saga ends as compensated.")]
    return [_("Undoes in this order: %(steps)s.") % {"steps": " → ".join(names)}]


def _resolve(saga: SagaView, resolution: str) -> list[str]:
    lines = [str(each.meaning) for each in saga.resolutions if each.name == resolution]
    lines += [_("Calls nothing and undoes nothing. No worker continues this saga.")]
    if saga.is_active:
        lines.append(_("The saga ends as failed."))
    lines += [
        _("The outcome of %(step)s remains unknown: money may have moved.") % _named(step)
        for step in saga.steps
        if step.in_doubt
    ]
    return lines


def _named(step: StepView | None) -> dict[str, str]:
    return {"step": step.name if step else "—"}
