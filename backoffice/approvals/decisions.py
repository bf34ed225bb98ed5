"""How a wish is decided, whatever it is for: by another person, once, in time, and written down.

All of it runs in the caller's transaction, beside what the wish is for.
"""

import datetime as dt
import uuid
from typing import Final

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from audit import services as audit
from audit.action_types import ObjectType, StaffActionType
from backoffice.approvals.independence import account_changed_at, find_approver_conflict, is_from_terminal
from backoffice.approvals.models import PAYMENT_OPERATIONS, Approval, ApprovalState
from common.clock import database_now
from common.errors import NotPermitted

VALID_FOR: Final = dt.timedelta(days=3)


def pending_approvals() -> QuerySet[Approval]:
    return Approval.objects.filter(state=ApprovalState.PENDING, requested_at__gt=Now() - VALID_FOR)


def find_pending_for_payment(*, payment_no: str) -> Approval | None:
    return pending_approvals().filter(business_id=payment_no, operation__in=PAYMENT_OPERATIONS).first()


def adopt(*, approval_id: uuid.UUID, actor: str) -> None:
    """Makes the signed-in account `actor` the requester of what was requested in a terminal.

    Whoever has the terminal can type any name there, a colleague's too, and would then approve as themselves. So a
    request from a terminal counts as nobody's: one account adopts it and a second one approves it.

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
    """Also withdraws one's own request. Raises `NotPermitted`."""
    if not reason.strip():
        raise NotPermitted(_("Give your name and a reason."))
    with transaction.atomic():
        approval = lock_pending(approval_id)
        record_decision(approval, ApprovalState.REJECTED, actor, reason=reason)


def lock_for_approval(approval_id: uuid.UUID, actor: str) -> Approval:
    """Locked, for who agrees. Raises `NotPermitted`."""
    approval = lock_pending(approval_id)
    if why_not := find_approver_conflict(approver=actor, requester=approval.requested_by):
        raise NotPermitted(why_not)
    return approval


def lock_pending(approval_id: uuid.UUID) -> Approval:
    """Raises `NotPermitted`."""
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


def record_in_audit_log(approval: Approval, act: StaffActionType, actor: str, reason: str) -> None:
    """A wish for a refund is part of its payment's history: its saga is not there yet. The line has the address of the
    person by itself, and how long the account has been as it is."""
    audit.record(
        actor=actor,
        action=act,
        object_type=ObjectType.PAYMENT if approval.is_about_payment else ObjectType.SAGA,
        object_id=approval.business_id if approval.is_about_payment else str(approval.saga_id),
        reason=reason,
        after={
            "approval": str(approval.id),
            "operation": str(approval.operation),
            "amount_minor": approval.amount_minor,
            "currency": approval.currency,
            "requested_by": approval.requested_by,
            **_account(actor),
            "reason_code": approval.reason_code,
            "ticket": approval.ticket,
        },
    )


def _account(actor: str) -> dict[str, object]:
    account = User.objects.filter(username=actor).first()
    if account is None:
        return {}
    age = database_now() - account_changed_at(account)
    return {"account_unchanged_for_hours": max(0, age // dt.timedelta(hours=1))}


def mark_stale(approval_id: uuid.UUID) -> None:
    _close(Approval.objects.filter(id=approval_id), ApprovalState.STALE)


def expire_approvals() -> int:
    """Closes what nobody decided in time, so that it can be asked for anew."""
    return _close(Approval.objects.filter(requested_at__lte=Now() - VALID_FOR), ApprovalState.EXPIRED)


def _close(approvals: QuerySet[Approval], state: ApprovalState) -> int:
    return approvals.filter(state=ApprovalState.PENDING).update(state=state, decided_at=Now())
