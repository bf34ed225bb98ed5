"""Operations on sagas, with an approval when the amount is above the limit.

A request is a row and an audit log entry. The decision locks the row; the operation, the row and both audit log entries
are one transaction. So an approval is used at most once.
"""

import uuid
from dataclasses import dataclass

from django.db import transaction

from backoffice.approvals import decisions
from backoffice.approvals.limits import amount_at_stake, needs_approval
from backoffice.approvals.models import PAYMENT_OPERATIONS, Approval, ApprovalState
from backoffice.services import audited_saga_operations
from common.errors import NotPermitted, StaleView
from sagas import inspection
from sagas.availability import Operation, get_refusals
from sagas.models import SagaInstance
from sagas.operations import SagaChange, build_unknown_saga_error


@dataclass(frozen=True, slots=True)
class ActionReason:
    """`ticket` is a link or a number in the ticket system of the team."""

    reason: str
    reason_code: str = ""
    ticket: str = ""


def operate_or_request_approval(
    *,
    operation: Operation,
    saga_id: uuid.UUID,
    seen_revision: int,
    actor: str,
    why: ActionReason,
    result: str = "",
) -> SagaChange | Approval:
    """Performs the operation, or requests an approval for it. Raises the subclasses of `OperationRefused`."""
    saga = SagaInstance.objects.filter(id=saga_id).first()
    if saga is None:
        raise build_unknown_saga_error(saga_id)
    amount_minor, currency = amount_at_stake(saga)
    if needs_approval(operation=operation, amount_minor=amount_minor, currency=currency):
        return _request_approval(saga, operation, seen_revision, actor, why, result, amount_minor, currency)
    return audited_saga_operations.operate(
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
    """Performs the approved operation.

    Raises `NotPermitted` when the request is decided or expired, or `actor` is not a second person; `StaleView` when
    the saga has changed.
    """
    try:
        with transaction.atomic():
            approval = decisions.lock_for_approval(approval_id, actor)
            done = audited_saga_operations.operate(
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


def _request_approval(
    saga: SagaInstance,
    operation: Operation,
    seen_revision: int,
    actor: str,
    why: ActionReason,
    result: str,
    amount_minor: int,
    currency: str,
) -> Approval:
    """Refuses at once an operation that would be refused after the approval."""
    if saga.revision != seen_revision:
        raise StaleView(seen_revision=seen_revision, current_revision=saga.revision)
    current = inspection.get_saga_view(saga.id)
    if current is None:
        raise build_unknown_saga_error(saga.id)
    if obstacle := get_refusals(current)[operation]:
        raise NotPermitted(obstacle)
    if operation == Operation.SKIP_STEP:
        audited_saga_operations.parse_result(result, saga.id)
    return decisions.request_approval(
        Approval(
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
    )
