"""Staff actions on sagas: the operation, the saga's history and the audit log entry are one transaction."""

import uuid

from django.utils.translation import gettext as _

from audit.action_types import ObjectType, StaffActionType
from audit.recording import recording
from backoffice.services import saga_inspection
from common.api.parsers import parse_json
from common.errors import MalformedBody, OperationRefused
from sagas import operations
from sagas.availability import Operation
from sagas.operations import SagaChange
from sagas.outcomes import Json


class BadResult(OperationRefused):
    """The result that staff gave for a step is not a JSON object."""


def operate(
    *,
    operation: Operation,
    saga_id: uuid.UUID,
    seen_revision: int,
    actor: str,
    reason: str,
    result: str = "",
    reason_code: str = "",
    ticket: str = "",
    approved_by: str = "",
) -> SagaChange:
    """Performs the operation on a saga whose revision is still `seen_revision`.

    `result` is the step's result as JSON for a skip, and the name of the resolution for a resolve. Raises the
    subclasses of `OperationRefused`.
    """
    action = StaffActionType(f"saga.{operation.value}")
    with recording(action, ObjectType.SAGA, saga_id, actor=actor, reason=reason) as entry:
        done = _call_operation(operation, saga_id, seen_revision, actor, reason, result)
        optional = {"reason_code": reason_code, "ticket": ticket, "approved_by": approved_by}
        entry.before = done.before
        entry.after = {**done.after, **{name: value for name, value in optional.items() if value}}
    return done


def result_help(*, saga_id: uuid.UUID) -> str:
    """Explains which names a step's result usually has: later steps fail when one is missing."""
    found = saga_inspection.load_sagas(ids=[saga_id])
    names = saga_inspection.usual_result_names(saga=found[0]) if found else ()
    if not names:
        return _("Enter the result of the step as a JSON object. Enter {} if no later step reads it.")
    return _("Enter the result of the step as a JSON object. It usually contains: %(names)s.") % {
        "names": ", ".join(names)
    }


def _call_operation(
    operation: Operation, saga_id: uuid.UUID, seen_revision: int, actor: str, reason: str, result: str
) -> SagaChange:
    if operation == Operation.SKIP_STEP:
        return operations.skip_step(
            saga_id=saga_id,
            seen_revision=seen_revision,
            actor=actor,
            reason=reason,
            result=parse_result(result, saga_id),
        )
    if operation == Operation.MARK_RESOLVED:
        return operations.resolve_saga(
            saga_id=saga_id, seen_revision=seen_revision, actor=actor, reason=reason, resolution=result
        )
    perform = {
        Operation.RETRY_NOW: operations.retry_step,
        Operation.QUERY_CHANNEL: operations.query_channel,
        Operation.COMPENSATE: operations.compensate_saga,
        Operation.CANCEL: operations.cancel_saga,
    }[operation]
    return perform(saga_id=saga_id, seen_revision=seen_revision, actor=actor, reason=reason)


def parse_result(result: str, saga_id: uuid.UUID) -> Json:
    """Parses the result that staff gave for a step. Raises `BadResult`."""
    if not result.strip():
        raise BadResult(result_help(saga_id=saga_id))
    try:
        value = parse_json(result.encode(errors="surrogatepass"))
    except MalformedBody as error:
        where = "; ".join(f"{name}: {', '.join(texts)}" for name, texts in error.details.items())
        raise BadResult(_("The result is not valid JSON: %(why)s") % {"why": where}) from error
    if not isinstance(value, dict):
        raise BadResult(_('The result must be a JSON object like {"state": "paid"}.'))
    return value
