"""Describes the effects of an operation on a saga before it is performed."""

from django.utils.translation import gettext as _

from sagas import registry
from sagas.availability import Operation
from sagas.inspection import SagaView, StepView
from sagas.models import StepStatus


def describe_effects(saga: SagaView, operation: Operation, resolution: str = "") -> list[str]:
    """`resolution`: the one chosen for Operation.MARK_RESOLVED."""
    step = saga.current
    match operation:
        case Operation.RETRY_NOW:
            return _describe_retry(step)
        case Operation.QUERY_CHANNEL:
            return [
                _("Queries the channel about %(step)s. Nothing is charged or refunded.") % _step_name(step)
            ]
        case Operation.SKIP_STEP:
            return _describe_skip(saga, step)
        case Operation.COMPENSATE:
            return _describe_compensation(saga)
        case Operation.CANCEL:
            return [
                _("Starts the compensation after the running step, unless the saga has passed its pivot."),
                *_describe_compensation(saga),
            ]
        case Operation.MARK_RESOLVED:
            return _describe_resolve(saga, resolution)


def _describe_retry(step: StepView | None) -> list[str]:
    if step is None:
        return [_("Resumes the saga.")]
    lines = []
    if step.in_doubt and step.can_be_queried:
        lines.append(_("Queries the channel about %(step)s first.") % _step_name(step))
    lines.append(
        _("Retries %(step)s at once and resets its retries, of which %(used)d of %(most)d are used.")
        % {**_step_name(step), "used": step.retry_count, "most": step.max_retry_count}
    )
    return lines


def _describe_skip(saga: SagaView, step: StepView | None) -> list[str]:
    lines = [_("Marks %(step)s as completed. The channel is not called.") % _step_name(step)]
    later = [each.name for each in saga.steps if step and each.order > step.order]
    if later:
        lines.append(_("Next: %(steps)s.") % {"steps": ", ".join(later)})
    return lines


def _describe_compensation(saga: SagaView) -> list[str]:
    definition = registry.find_definition(saga.definition, saga.version)
    compensable = {each.name for each in definition.steps if each.compensate} if definition else set()
    names = [
        step.name
        for step in reversed(saga.steps)
        if step.was_attempted and step.status != StepStatus.COMPENSATED and step.name in compensable
    ]
    if not names:
        return [_("No step has to be compensated: the saga ends as compensated.")]
    return [_("Compensates in this order: %(steps)s.") % {"steps": " → ".join(names)}]


def _describe_resolve(saga: SagaView, resolution: str) -> list[str]:
    chosen = [each for each in saga.resolutions if each.name == resolution]
    lines = [str(each.meaning) for each in chosen]
    lines += [_("Calls no channel and compensates no step. No worker continues this saga.")]
    if chosen and chosen[0] != saga.resolutions[0]:
        return lines  # staff have found out what became of the money; the first resolution leaves it open
    text = _("The outcome of %(step)s is unknown: money may have moved. Look it up at the channel.")
    return lines + [text % _step_name(step) for step in saga.steps if step.in_doubt]


def _step_name(step: StepView | None) -> dict[str, str]:
    return {"step": step.name if step else "—"}
