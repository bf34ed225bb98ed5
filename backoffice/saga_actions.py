"""The admin actions on a saga, one for each operation, and the approvals of these operations.

From the button to the database: `approvals/saga_approvals.py` (asks for a second person above the limit) →
`services/audited_saga_operations.py` (audit log) → `sagas/operations.py` (`compensate_saga` and its kin).
"""

from collections.abc import Callable, Sequence
from typing import Any

from django.contrib.auth.models import User
from django.utils.translation import gettext as _

from backoffice.actions.approval_pages import ApprovalFlow
from backoffice.actions.declaration import (
    DONE_MESSAGE,
    STARTED_MESSAGE,
    ActionTarget,
    AdminAction,
    ApprovalRequested,
    ChoiceEffects,
    Perform,
    Performed,
    ReasonForm,
)
from backoffice.approvals import saga_approvals
from backoffice.approvals.models import Approval
from backoffice.approvals.saga_approvals import ActionReason
from backoffice.renderers.saga_effects import describe_effects
from backoffice.saga_forms import ConfirmedForm, MarkResolvedForm, SagaForm, SkipStepForm
from sagas.availability import MEANINGS, Operation, get_refusals
from sagas.inspection import SagaView
from staff.roles import Permission

FORMS: dict[Operation, type[ReasonForm]] = {
    Operation.SKIP_STEP: SkipStepForm,
    Operation.COMPENSATE: ConfirmedForm,
    Operation.MARK_RESOLVED: MarkResolvedForm,
}


def _operation_performer(operation: Operation) -> Perform:
    def perform(actor: User, saga: SagaView, data: dict[str, Any]) -> ApprovalRequested | None:
        answer = saga_approvals.operate_or_request_approval(
            operation=operation,
            saga_id=saga.id,
            seen_revision=data["seen_revision"],
            actor=actor.get_username(),
            why=ActionReason(data["reason"], data["reason_code"], data["ticket"]),
            result=data.get("result") or data.get("resolution", ""),
        )
        return ApprovalRequested(answer.get_state_display()) if isinstance(answer, Approval) else None

    return perform


def _find_obstacle(operation: Operation) -> Callable[[SagaView], str]:
    return lambda saga: get_refusals(saga)[operation]


def _describe_effects(operation: Operation) -> Callable[[SagaView], Sequence[str]]:
    return lambda saga: describe_effects(saga, operation)


def _describe_resolutions(saga: SagaView) -> Sequence[ChoiceEffects]:
    return [
        ChoiceEffects(each.name, each.meaning, describe_effects(saga, Operation.MARK_RESOLVED, each.name)[1:])
        for each in saga.resolutions
    ]


def _describe_no_choice(_saga: SagaView) -> Sequence[ChoiceEffects]:
    return ()


DESTRUCTIVE = (Operation.SKIP_STEP, Operation.COMPENSATE, Operation.MARK_RESOLVED, Operation.CANCEL)


SAGA_ACTIONS = tuple(
    AdminAction(
        operation.value,
        operation.label,
        MEANINGS[operation],
        Permission.OPERATE,
        _operation_performer(operation),
        FORMS.get(operation, SagaForm),
        target=ActionTarget.ROWS,
        find_obstacle=_find_obstacle(operation),
        describe_effects=_describe_effects(operation),
        waits_for_approval=True,
        is_dialog=True,
        is_bulk=operation != Operation.SKIP_STEP,  # one result fits one step
        is_destructive=operation in DESTRUCTIVE,
        choice_field="resolution" if operation == Operation.MARK_RESOLVED else "",
        describe_choices=_describe_resolutions
        if operation == Operation.MARK_RESOLVED
        else _describe_no_choice,
        rows_message=DONE_MESSAGE if operation == Operation.MARK_RESOLVED else STARTED_MESSAGE,
    )
    for operation in Operation
)


def _find_pending(saga: SagaView) -> Approval | None:
    return saga_approvals.find_pending_for_saga(saga_id=saga.id)


def _describe_approval(saga: SagaView, approval: Approval) -> Sequence[str]:
    return describe_effects(saga, Operation(approval.operation), approval.result)


def _approve(approval: Approval, approver: str) -> Performed:
    saga_approvals.approve(approval_id=approval.pk, actor=approver)
    if approval.operation == Operation.MARK_RESOLVED:
        return Performed(_("Approved and done."))
    return Performed(_("Approved. A worker continues the saga; this page shows the outcome."))


SAGA_APPROVALS = ApprovalFlow(_find_pending, _describe_approval, _approve)
