"""Operations on sagas by one person, or by two where much money hangs on them.

A wish is a row and a line of the audit. The decision locks the row, and the operation, the row and both lines of the
audit are one transaction: nobody's consent is used twice.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from audit.action_types import StaffActionType
from backoffice.approvals import decisions
from backoffice.approvals.models import PAYMENT_OPERATIONS, Approval, ApprovalState
from backoffice.approvals.thresholds import amount_at_stake, needs_approval
from backoffice.services import saga_operations
from common.db import violates
from common.errors import NotPermitted, OperationRefused, StaleView
from sagas import inspection
from sagas.availability import Operation, allowed
from sagas.models import SagaInstance
from sagas.operations import SagaChange, unknown_saga


@dataclass(frozen=True, slots=True)
class ActionReason:
    """`ticket` is a link or a number in the team's own system."""

    reason: str
    reason_code: str = ""
    ticket: str = ""


OperationResult = SagaChange | Approval | OperationRefused


def operate_each(
    *, operation: Operation, seen: Mapping[uuid.UUID, int], actor: str, why: ActionReason, result: str = ""
) -> dict[uuid.UUID, OperationResult]:
    """Each saga in a transaction of its own, so that one that has moved on does not hold up the others."""
    answers: dict[uuid.UUID, OperationResult] = {}
    for saga_id, revision in seen.items():
        try:
            answers[saga_id] = operate_or_request_approval(
                operation=operation,
                saga_id=saga_id,
                seen_revision=revision,
                actor=actor,
                why=why,
                result=result,
            )
        except OperationRefused as refused:
            answers[saga_id] = refused
    return answers


def operate_or_request_approval(
    *,
    operation: Operation,
    saga_id: uuid.UUID,
    seen_revision: int,
    actor: str,
    why: ActionReason,
    result: str = "",
) -> SagaChange | Approval:
    """Raises `OperationRefused` in its many kinds."""
    saga = SagaInstance.objects.filter(id=saga_id).first()
    if saga is None:
        raise unknown_saga(saga_id)
    amount_minor, currency = amount_at_stake(saga)
    if needs_approval(operation=operation, amount_minor=amount_minor, currency=currency):
        return _ask(saga, operation, seen_revision, actor, why, result, amount_minor, currency)
    return saga_operations.operate(
        operation=operation,
        saga_id=saga_id,
        seen_revision=seen_revision,
        actor=actor,
        reason=why.reason,
        result=result,
        reason_code=why.reason_code,
        ticket=why.ticket,
    )


def find_pending_for_saga(*, saga_id: uuid.UUID) -> Approval | None:
    return (
        decisions.pending_approvals()
        .filter(saga_id=saga_id)
        .exclude(operation__in=PAYMENT_OPERATIONS)
        .first()
    )


def approve(*, approval_id: uuid.UUID, actor: str) -> SagaChange:
    """Raises `OperationRefused`: when it was decided already, by the same person, or the saga has moved on."""
    try:
        with transaction.atomic():
            approval = decisions.lock_for_approval(approval_id, actor)
            done = saga_operations.operate(
                operation=Operation(approval.operation),
                saga_id=approval.saga_id,
                seen_revision=approval.seen_revision,
                actor=approval.requested_by,
                reason=approval.reason,
                result=approval.result,
                reason_code=approval.reason_code,
                ticket=approval.ticket,
                approved_by=actor,
            )
            decisions.record_decision(approval, ApprovalState.APPROVED, actor, reason=approval.reason)
    except StaleView:
        decisions.mark_stale(approval_id)
        raise
    return done


def _ask(
    saga: SagaInstance,
    operation: Operation,
    seen_revision: int,
    actor: str,
    why: ActionReason,
    result: str,
    amount_minor: int,
    currency: str,
) -> Approval:
    """Refused at once is what would be refused later: nobody is asked for what cannot be done."""
    if saga.revision != seen_revision:
        raise StaleView(seen_revision=seen_revision, current_revision=saga.revision)
    picture = inspection.get_saga_view(saga.id)
    if picture is None:
        raise unknown_saga(saga.id)
    if why_not := allowed(picture)[operation]:
        raise NotPermitted(why_not)
    if operation == Operation.SKIP_STEP:
        saga_operations.parse_result(result, saga.id)
    decisions.expire_approvals()
    try:
        with transaction.atomic():
            approval = Approval.objects.create(
                operation=operation,
                saga_id=saga.id,
                business_id=saga.business_id,
                seen_revision=seen_revision,
                amount_minor=amount_minor,
                currency=currency,
                reason=why.reason,
                reason_code=why.reason_code,
                ticket=why.ticket,
                result=result,
                requested_by=actor,
            )
            decisions.record_in_audit_log(approval, StaffActionType.APPROVAL_REQUEST, actor, why.reason)
    except IntegrityError as error:
        if not violates(error, "approval_one_pending_per_saga"):
            raise
        raise NotPermitted(_("An approval is already pending for this object.")) from error
    return approval
