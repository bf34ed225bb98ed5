"""The one operation that staff should try first on a saga that needs review, and why."""

from dataclasses import dataclass

from django.utils.translation import gettext as _

from sagas.availability import Operation, get_refusals
from sagas.inspection import SagaView
from sagas.models import Direction


@dataclass(frozen=True, slots=True)
class Recommendation:
    operation: Operation
    why: str


def recommend_operation(saga: SagaView) -> Recommendation | None:
    """Returns None when a worker continues the saga by itself, or when it has ended.

    A query comes first, because it moves no money; then a retry. Marking the saga resolved is the last choice:
    staff then have to know where the money is.
    """
    if not saga.needs_attention:
        return None
    refusals = get_refusals(saga)
    step = saga.current
    name = {"step": step.name if step else "—"}
    if not refusals[Operation.QUERY_CHANNEL]:
        text = _("The outcome of %(step)s is unknown. A query finds it out and moves no money.")
        return Recommendation(Operation.QUERY_CHANNEL, text % name)
    if not refusals[Operation.RETRY_NOW]:
        if saga.direction == Direction.COMPENSATING:
            text = _("The compensation of %(step)s stopped. A retry queries the channel first.")
        elif step is not None and step.in_doubt:
            text = _("The outcome of %(step)s is unknown. A retry repeats the call with the same key.")
        else:
            text = _("%(step)s used up its retries. Retry it when the cause is gone.")
        return Recommendation(Operation.RETRY_NOW, text % name)
    if not refusals[Operation.MARK_RESOLVED]:
        text = _("No worker can continue it. Find out where the money is, then mark the saga resolved.")
        return Recommendation(Operation.MARK_RESOLVED, text)
    return None
