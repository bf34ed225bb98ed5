"""The page of an approval, on which it is also approved and rejected."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from backoffice.actions.admin import ActionsAdmin
from backoffice.actions.approval_pages import ApprovalFlow
from backoffice.actions.declaration import Performed
from backoffice.approvals import decisions
from backoffice.approvals.admin import ApprovalAdmin
from backoffice.approvals.models import Approval
from backoffice.object_pages.approval import build_approval_page
from backoffice.payment_actions import PAYMENT_APPROVALS
from backoffice.saga_actions import SAGA_APPROVALS
from backoffice.services import saga_inspection
from gateway.models import Payment
from sagas.inspection import SagaView


def _find_subject(approval: Approval) -> Payment | SagaView | None:
    if approval.is_about_payment:
        return Payment.objects.select_related("merchant").filter(payment_no=approval.business_id).first()
    return next(iter(saga_inspection.load_sagas(ids=[approval.saga_id])), None)


def _flow_of(approval: Approval) -> ApprovalFlow:
    return PAYMENT_APPROVALS if approval.is_about_payment else SAGA_APPROVALS


def _find_pending(approval: Approval) -> Approval | None:
    return decisions.pending_approvals().filter(pk=approval.pk).first()


def _describe_effects(approval: Approval, _same: Approval) -> Sequence[str]:
    subject = _find_subject(approval)
    return _flow_of(approval).describe_effects(subject, approval) if subject is not None else ()


def _approve(approval: Approval, approver: str) -> Performed:
    return _flow_of(approval).approve(approval, approver)


admin.site.unregister(Approval)


@admin.register(Approval)
class ApprovalPageAdmin(ActionsAdmin, ApprovalAdmin):  # type: ignore[misc]  # unfold's mixins
    change_form_outer_before_template = ""  # type: ignore[assignment]
    change_form_template = "backoffice/object_page.html"
    approval_flow = ApprovalFlow(_find_pending, _describe_effects, _approve)

    def page_context(self, request: HttpRequest, row: Approval) -> dict[str, Any]:
        return {"page": build_approval_page(row, _find_subject(row))}
