"""How a wish is decided, whatever it is for: by another person, once, in time, and written down.

All of it runs in the caller's transaction, beside what the wish is for.
"""

import datetime as dt
import uuid
from typing import Final

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from audit import services as audit
from audit.acts import Act, ObjectType
from backoffice.approvals.independence import opened_at, why_not_second
from backoffice.approvals.models import Approval, ApprovalState
from common.clock import database_now
from sagas.operations import NotAllowed

VALID_FOR: Final = dt.timedelta(days=3)


def waiting() -> QuerySet[Approval]:
    return Approval.objects.filter(state=ApprovalState.PENDING, requested_at__gt=Now() - VALID_FOR)


def taken(approval_id: uuid.UUID, actor: str) -> Approval:
    """Locked, for who agrees. Raises `NotAllowed`."""
    approval = locked(approval_id)
    if why_not := why_not_second(approver=actor, requester=approval.requested_by):
        raise NotAllowed(why_not)
    return approval


def locked(approval_id: uuid.UUID) -> Approval:
    """Raises `NotAllowed`."""
    approval = Approval.objects.select_for_update().filter(id=approval_id).first()
    if approval is None or approval.state != ApprovalState.PENDING:
        raise NotAllowed(_("It has been decided already."))
    if approval.requested_at <= database_now() - VALID_FOR:
        raise NotAllowed(_("Nobody agreed in time: it must be asked for anew."))
    return approval


def decide(approval: Approval, state: ApprovalState, actor: str, *, reason: str) -> None:
    approval.state, approval.decided_by, approval.decided_at = state, actor, Now()
    approval.save(update_fields=["state", "decided_by", "decided_at"])
    note(
        approval,
        Act.APPROVAL_APPROVE if state == ApprovalState.APPROVED else Act.APPROVAL_REJECT,
        actor,
        reason,
    )


def note(approval: Approval, act: Act, actor: str, reason: str) -> None:
    """A wish for a refund is part of its payment's history: its saga is not there yet. The line has the address of the
    person by itself, and how long the account has been as it is."""
    audit.record(
        actor=actor,
        action=act,
        object_type=ObjectType.PAYMENT if approval.is_refund else ObjectType.SAGA,
        object_id=approval.business_id if approval.is_refund else str(approval.saga_id),
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
    age = database_now() - opened_at(account)
    return {"account_unchanged_for_hours": max(0, age // dt.timedelta(hours=1))}


def overtaken(approval_id: uuid.UUID) -> None:
    _close(Approval.objects.filter(id=approval_id), ApprovalState.STALE)


def expire() -> int:
    """Closes what nobody decided in time, so that it can be asked for anew."""
    return _close(Approval.objects.filter(requested_at__lte=Now() - VALID_FOR), ApprovalState.EXPIRED)


def _close(approvals: QuerySet[Approval], state: ApprovalState) -> int:
    return approvals.filter(state=ApprovalState.PENDING).update(state=state, decided_at=Now())
