"""Requests for approval and the decisions on them: by a second person, once, in time, recorded in the audit log.

The functions that take an `Approval` run in the caller's transaction, together with the operation itself.
"""

import datetime as dt
import uuid
from typing import Final

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from audit import services as audit
from audit.action_types import ObjectType, StaffActionType
from backoffice.approvals.approvers import account_changed_at, find_approver_conflict, is_from_terminal
from backoffice.approvals.models import PAYMENT_OPERATIONS, Approval, ApprovalState
from common.clock import database_now
from common.db import violates
from common.errors import NotPermitted

VALID_FOR: Final = dt.timedelta(days=3)
ONE_PENDING: Final = ("approval_one_pending_per_payment", "approval_one_pending_per_saga")


def pending_approvals() -> QuerySet[Approval]:
    return Approval.objects.filter(state=ApprovalState.PENDING, requested_at__gt=Now() - VALID_FOR)


def find_pending_for_payment(*, payment_no: str) -> Approval | None:
    return pending_approvals().filter(business_id=payment_no, operation__in=PAYMENT_OPERATIONS).first()


def request_approval(approval: Approval) -> Approval:
    """Stores the request with its audit log entry. Raises `NotPermitted` when one is pending for the same object."""
    expire_approvals()
    try:
        with transaction.atomic():
            approval.save(force_insert=True)
            record_in_audit_log(
                approval, StaffActionType.APPROVAL_REQUEST, approval.requested_by, approval.reason
            )
    except IntegrityError as error:
        if not any(violates(error, name) for name in ONE_PENDING):
            raise
        raise NotPermitted(_("An approval is already pending for this object.")) from error
    return approval


def adopt(*, approval_id: uuid.UUID, actor: str) -> None:
    """Makes the signed-in account `actor` the requester of an operation that was requested in a terminal.

    A person in the terminal can type any name, also a colleague's, and could then approve with their own account.
    So a request from a terminal belongs to nobody: one account adopts it and a second one approves it.

    Raises `NotPermitted`.
    """
    with transaction.atomic():
        approval = lock_pending(approval_id)
        if not is_from_terminal(approval.requested_by):
            raise NotPermitted(_("Another account has adopted this request already."))
        if is_from_terminal(actor):
            raise NotPermitted(_("Only an active staff account can approve."))
        record_in_audit_log(approval, StaffActionType.APPROVAL_REQUEST, actor, approval.reason)
        approval.requested_by = actor
        approval.save(update_fields=["requested_by"])


def reject(*, approval_id: uuid.UUID, actor: str, reason: str) -> None:
    """Rejects the request, or withdraws it when `actor` is the requester. Raises `NotPermitted`."""
    if not reason.strip():
        raise NotPermitted(_("Give a reason."))
    with transaction.atomic():
        approval = lock_pending(approval_id)
        record_decision(approval, ApprovalState.REJECTED, actor, reason=reason)


def lock_for_approval(approval_id: uuid.UUID, actor: str) -> Approval:
    """Locks the pending request for its approval by `actor`.

    Raises `NotPermitted` when it is decided or expired, or when `actor` is not a second person.
    """
    approval = lock_pending(approval_id)
    if conflict := find_approver_conflict(approver=actor, requester=approval.requested_by):
        raise NotPermitted(conflict)
    return approval


def lock_pending(approval_id: uuid.UUID) -> Approval:
    """Raises `NotPermitted` when the request is decided or expired."""
    approval = Approval.objects.select_for_update().filter(id=approval_id).first()
    if approval is None or approval.state != ApprovalState.PENDING:
        raise NotPermitted(_("This approval has been decided already."))
    if approval.requested_at <= database_now() - VALID_FOR:
        raise NotPermitted(_("The approval request has expired. Request it again."))
    return approval


def record_decision(approval: Approval, state: ApprovalState, actor: str, *, reason: str) -> None:
    approval.state, approval.decided_by, approval.decided_at = state, actor, Now()
    approval.save(update_fields=["state", "decided_by", "decided_at"])
    record_in_audit_log(
        approval,
        StaffActionType.APPROVAL_APPROVE
        if state == ApprovalState.APPROVED
        else StaffActionType.APPROVAL_REJECT,
        actor,
        reason,
    )


def record_in_audit_log(approval: Approval, action: StaffActionType, actor: str, reason: str) -> None:
    """Records under the payment, when the operation is about its money (a refund has no saga yet), or under the saga.
    The entry also says for how long the account of `actor` has been unchanged."""
    audit.record(
        actor=actor,
        action=action,
        object_type=ObjectType.PAYMENT if approval.is_about_payment else ObjectType.SAGA,
        object_id=approval.business_id if approval.is_about_payment else str(approval.saga_id),
        reason=reason,
        after={
            "approval": str(approval.id),
            "operation": str(approval.operation),
            "amount_minor": approval.amount_minor,
            "currency": approval.currency,
            "requested_by": approval.requested_by,
            **_account_age(actor),
            "reason_code": approval.reason_code,
            "ticket": approval.ticket,
        },
    )


def _account_age(actor: str) -> dict[str, object]:
    account = User.objects.filter(username=actor).first()
    if account is None:
        return {}
    age = database_now() - account_changed_at(account)
    return {"account_unchanged_for_hours": max(0, age // dt.timedelta(hours=1))}


def mark_stale(approval_id: uuid.UUID) -> None:
    """Closes a request that no longer fits its object."""
    _close(Approval.objects.filter(id=approval_id), ApprovalState.STALE)


def expire_approvals() -> int:
    """Closes requests that nobody decided in time, so that the operation can be requested again."""
    return _close(Approval.objects.filter(requested_at__lte=Now() - VALID_FOR), ApprovalState.EXPIRED)


def _close(approvals: QuerySet[Approval], state: ApprovalState) -> int:
    return approvals.filter(state=ApprovalState.PENDING).update(state=state, decided_at=Now())
