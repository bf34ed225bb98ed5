"""Changes of fee plans: one person requests them, a second one approves (ADR 46). Each in one transaction with its
entry in the audit log. Every change needs an approval, because a form cannot tell which one lowers the income."""

import datetime as dt
import uuid

from django.db.models.functions import Now
from django.utils.translation import gettext as _

from audit.action_types import ObjectType, StaffActionType
from audit.recording import recording
from backoffice.approvals.approvers import find_approver_conflict
from common.errors import FieldsRefused, NotPermitted, OperationRefused
from fees.formula import Terms
from fees.models import FeePlan, FeePlanChange, FeePlanChangeState
from fees.services.plans import add_version, assign_plan, require_valid_terms
from merchants.models import Merchant


def request_version(
    *, plan_name: str, terms: Terms, valid_from: dt.datetime | None, actor: str, reason: str
) -> FeePlanChange:
    """Raises `OperationRefused` for terms that cannot be used."""
    require_valid_terms(terms)
    return _request(
        FeePlanChange(plan_name=plan_name, terms=terms.as_json(), valid_from=valid_from), actor, reason
    )


def request_assignment(
    *, merchant_email: str, plan_name: str, valid_from: dt.datetime | None, actor: str, reason: str
) -> FeePlanChange:
    """An empty `plan_name` ends the merchant's fees. Raises `FieldsRefused`."""
    merchant = Merchant.objects.filter(email=merchant_email).first()
    if merchant is None:
        text = _("There is no merchant with the e-mail %s.") % merchant_email
        raise FieldsRefused({"merchant_email": text})
    if plan_name and not FeePlan.objects.filter(name=plan_name).exists():
        raise FieldsRefused({"plan_name": _("There is no fee plan %s with an approved version.") % plan_name})
    return _request(
        FeePlanChange(plan_name=plan_name, merchant=merchant, valid_from=valid_from), actor, reason
    )


def approve(*, change_id: uuid.UUID, actor: str, reason: str) -> None:
    """Makes the version or assignment. Raises `OperationRefused`, also when its time is over by now."""
    with recording(
        StaffActionType.FEE_PLAN_APPROVE, ObjectType.FEE_PLAN, change_id, actor=actor, reason=reason
    ) as entry:
        change = _lock_pending(change_id)
        if conflict := find_approver_conflict(approver=actor, requester=change.requested_by):
            raise NotPermitted(conflict)
        if change.terms is not None:
            add_version(
                plan_name=change.plan_name, terms=Terms.from_json(change.terms), valid_from=change.valid_from
            )
        else:
            assert change.merchant is not None, "an assignment has a merchant (fee_plan_change_is_one_thing)"
            plan = FeePlan.objects.get(name=change.plan_name) if change.plan_name else None
            assign_plan(merchant=change.merchant, plan=plan, valid_from=change.valid_from)
        _decide(change, FeePlanChangeState.APPROVED, actor)
        entry.after = _describe(change)


def reject(*, change_id: uuid.UUID, actor: str, reason: str) -> None:
    """Rejects the change, or withdraws it when `actor` requested it. Raises `OperationRefused`."""
    with recording(
        StaffActionType.FEE_PLAN_REJECT, ObjectType.FEE_PLAN, change_id, actor=actor, reason=reason
    ) as entry:
        change = _lock_pending(change_id)
        _decide(change, FeePlanChangeState.REJECTED, actor)
        entry.after = _describe(change)


def _request(change: FeePlanChange, actor: str, reason: str) -> FeePlanChange:
    with recording(
        StaffActionType.FEE_PLAN_REQUEST, ObjectType.FEE_PLAN, change.id, actor=actor, reason=reason
    ) as entry:
        change.requested_by, change.reason = actor, reason
        change.save(force_insert=True)
        entry.after = _describe(change)
    return change


def _lock_pending(change_id: uuid.UUID) -> FeePlanChange:
    change = FeePlanChange.objects.select_for_update().filter(id=change_id).first()
    if change is None or change.state != FeePlanChangeState.PENDING:
        raise OperationRefused(_("This approval has been decided already."))
    return change


def _decide(change: FeePlanChange, state: FeePlanChangeState, actor: str) -> None:
    change.state, change.decided_by, change.decided_at = state, actor, Now()
    change.save(update_fields=["state", "decided_by", "decided_at"])


def _describe(change: FeePlanChange) -> dict[str, object]:
    return {
        "plan": change.plan_name,
        "merchant": str(change.merchant_id or ""),
        "terms": change.terms or {},
        "valid_from": str(change.valid_from or ""),
        "state": str(change.state),
        "requested_by": change.requested_by,
    }
