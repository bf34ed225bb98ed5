"""Staff actions on sagas: the operation, its entry in the saga's history and the audit log entry are one
transaction."""

import uuid

from django.db import transaction
from django.utils.translation import gettext as _

from audit import services as audit
from audit.action_types import ObjectType, StaffActionType
from backoffice.services import saga_inspection
from common.api.parsers import parse_json
from common.errors import MalformedBody, OperationRefused
from sagas import operations
from sagas.availability import Operation
from sagas.operations import Done
from sagas.outcomes import Json


class BadResult(OperationRefused):
    """What was given as a step's result is not a JSON object."""


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
) -> Done:
    """`result` is JSON for a skip, and the name of the resolution for a resolve. Raises `OperationRefused` in its many
    kinds."""
    with transaction.atomic():
        done = _perform(operation, saga_id, seen_revision, actor, reason, result)
        audit.record(
            actor=actor,
            action=StaffActionType(f"saga.{operation.value}"),
            object_type=ObjectType.SAGA,
            object_id=str(saga_id),
            reason=reason,
            before=done.before,
            after={**done.after, **_given(reason_code=reason_code, ticket=ticket, approved_by=approved_by)},
        )
    return done


def result_help(*, saga_id: uuid.UUID) -> str:
    """What a person needs to know to give a step's result: later steps fail on what is missing."""
    found = saga_inspection.load_sagas(ids=[saga_id])
    names = saga_inspection.usual_result_names(saga=found[0]) if found else ()
    if not names:
        return _("Give the result of the step: a JSON object, {} when later steps read nothing of it.")
    return _("Give the result of the step: a JSON object. Usually it has: %(names)s.") % {
        "names": ", ".join(names)
    }


def _perform(
    operation: Operation, saga_id: uuid.UUID, seen_revision: int, actor: str, reason: str, result: str
) -> Done:
    if operation == Operation.SKIP_STEP:
        return operations.skip_step(
            saga_id=saga_id,
            seen_revision=seen_revision,
            actor=actor,
            reason=reason,
            result=parsed_result(result, saga_id),
        )
    if operation == Operation.MARK_RESOLVED:
        return operations.mark_resolved(
            saga_id=saga_id, seen_revision=seen_revision, actor=actor, reason=reason, resolution=result
        )
    perform = {
        Operation.RETRY_NOW: operations.retry_now,
        Operation.ASK_CHANNEL: operations.ask_channel,
        Operation.COMPENSATE: operations.compensate,
        Operation.CANCEL: operations.cancel,
    }[operation]
    return perform(saga_id=saga_id, seen_revision=seen_revision, actor=actor, reason=reason)


def _given(**facts: str) -> dict[str, str]:
    return {name: value for name, value in facts.items() if value}


def parsed_result(result: str, saga_id: uuid.UUID) -> Json:
    """What a person gave as the result of a step. Raises `BadResult`."""
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
