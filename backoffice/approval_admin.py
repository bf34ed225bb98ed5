"""The page of an approval, on which it is also approved and rejected."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
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


@dataclass(frozen=True)
class ApprovalRow:
    """An approval on its page, with its payment or saga, which is read once for the panel and for the effects."""

    approval: Approval

    @property
    def id(self) -> uuid.UUID:
        return self.approval.pk

    @cached_property
    def subject(self) -> Payment | SagaView | None:
        approval = self.approval
        if approval.is_about_payment:
            return Payment.objects.select_related("merchant").filter(payment_no=approval.business_id).first()
        return next(iter(saga_inspection.load_sagas(ids=[approval.saga_id])), None)


def _flow_of(approval: Approval) -> ApprovalFlow:
    return PAYMENT_APPROVALS if approval.is_about_payment else SAGA_APPROVALS


def _find_pending(row: ApprovalRow) -> Approval | None:
    return decisions.pending_approvals().filter(pk=row.id).first()


def _describe_effects(row: ApprovalRow, approval: Approval) -> Sequence[str]:
    return _flow_of(approval).describe_effects(row.subject, approval) if row.subject is not None else ()


def _approve(approval: Approval, approver: str) -> Performed:
    return _flow_of(approval).approve(approval, approver)


admin.site.unregister(Approval)


@admin.register(Approval)
class ApprovalPageAdmin(ActionsAdmin, ApprovalAdmin):  # type: ignore[misc]  # unfold's mixins
    change_form_outer_before_template = ""  # type: ignore[assignment]
    change_form_template = "backoffice/object_page.html"
    approval_flow = ApprovalFlow(_find_pending, _describe_effects, _approve)

    def load_rows(self, request: HttpRequest, ids: Sequence[str]) -> list[ApprovalRow]:
        return [ApprovalRow(approval) for approval in super().load_rows(request, ids)]

    def page_context(self, request: HttpRequest, row: ApprovalRow) -> dict[str, Any]:
        return {"page": build_approval_page(row.approval, row.subject)}
