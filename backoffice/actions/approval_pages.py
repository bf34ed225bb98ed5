"""Pending approvals on the page of their object: approve, reject, withdraw, and adopt a request from a terminal."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from backoffice.actions.declaration import Performed, ReasonForm
from backoffice.actions.refusals import refusal_text
from backoffice.approvals import decisions
from backoffice.approvals.approvers import find_approver_conflict, is_from_terminal
from backoffice.approvals.models import Approval
from common.admin import ReadOnlyAdmin, money_text
from common.admin_forms import with_theme_widgets
from common.errors import ApiError, OperationRefused
from staff import step_up
from staff.roles import Permission, has_permission
from staff.step_up_views import redirect_to_step_up


@dataclass(frozen=True, slots=True)
class ApprovalFlow:
    """The approvals of an admin class's objects. `approve` takes the approval and the approver's name,
    performs the operation and returns what the approver reads; it raises `OperationRefused` or `ApiError`."""

    find_pending: Callable[[Any], Approval | None]
    describe_effects: Callable[[Any, Approval], Sequence[str]]
    approve: Callable[[Approval, str], Performed]


class RejectForm(ReasonForm):
    approval = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(self, approval: Approval, data: Any = None) -> None:
        super().__init__(data, auto_id="reject_%s", initial={"approval": approval.pk})
        with_theme_widgets(self)


class ApproveForm(forms.Form):
    """Shown with the request and its effects, so that nobody approves by one click on another page."""

    approval = forms.UUIDField(widget=forms.HiddenInput)
    approve = forms.CharField(widget=forms.HiddenInput, initial="1")

    def __init__(self, approval: Approval) -> None:
        super().__init__(auto_id="approve_%s", initial={"approval": approval.pk})


def approval_context(request: HttpRequest, approval: Approval, *, decide_url: str) -> dict[str, Any]:
    """For `backoffice/parts/approval.html`."""
    return {
        "approval": approval,
        "decide_url": decide_url,
        "can_be_adopted": is_from_terminal(approval.requested_by),
        "decision_obstacle": _decision_obstacle(request, approval),
        "approval_facts": _list_facts(approval),
        "approve_form": ApproveForm(approval),
        "reject_form": RejectForm(approval),
    }


def _list_facts(approval: Approval) -> list[tuple[str, str]]:
    facts = [
        (_("requested by"), approval.requested_by),
        (_("requested at"), date_format(localtime(approval.requested_at), "DATETIME_FORMAT")),
        (_("reason"), approval.reason),
    ]
    if approval.amount_minor:
        facts.insert(0, (_("amount"), money_text(approval.amount_minor, approval.currency)))
    return facts


def _decision_obstacle(request: HttpRequest, approval: Approval) -> str:
    if not has_permission(request.user, Permission.APPROVE):
        return _("Your role does not permit approvals.")
    if is_from_terminal(approval.requested_by):
        return ""  # can be adopted
    return find_approver_conflict(approver=request.user.get_username(), requester=approval.requested_by)


def decide(
    request: HttpRequest, model_admin: ReadOnlyAdmin, flow: ApprovalFlow, row: Any, *, back: str
) -> HttpResponse:
    """Approves, rejects or adopts the pending approval. Approving and rejecting have a dialog, or a page of their own
    where there are no dialogs. A rejection requires a reason. The requester may withdraw without the permission to
    approve."""
    actor = request.user.get_username()
    approval = flow.find_pending(row)
    approves, adopts = "approve" in request.POST, "adopt" in request.POST
    withdraws = approval is not None and approval.requested_by == actor and not (approves or adopts)
    if not (
        model_admin.has_view_permission(request)
        and (withdraws or has_permission(request.user, Permission.APPROVE))
    ):
        raise PermissionDenied
    is_post = request.method == "POST"
    if (approves or adopts or "approve" in request.GET) and step_up.is_step_up_needed(
        request.session, Permission.APPROVE
    ):
        return redirect_to_step_up(
            request, address=f"{request.path}?approve=1" if approves else back if adopts else ""
        )
    if approval is None or (is_post and request.POST.get("approval") != str(approval.pk)):
        messages.error(request, _("This approval has been decided already."))
        return redirect(back)
    if not is_post and "approve" in request.GET:
        return _approve_page(request, model_admin, approval, flow.describe_effects(row, approval), back)
    form = RejectForm(approval, request.POST if is_post else None)
    if not (approves or adopts) and not form.is_valid():
        return _reject_page(request, model_admin, approval, form, back, status=422 if is_post else 200)
    try:
        if adopts:
            decisions.adopt(approval_id=approval.pk, actor=actor)
            messages.warning(request, _("You are now the requester. Another account must approve."))
        elif approves:
            done = flow.approve(approval, actor)
            messages.add_message(request, done.level, done.message)
        else:
            decisions.reject(approval_id=approval.pk, actor=actor, reason=form.cleaned_data["reason"])
            messages.success(request, _("Rejected. Nothing was changed."))
    except (OperationRefused, ApiError) as refused:
        messages.error(request, refusal_text(refused))
    return redirect(back)


def _approve_page(
    request: HttpRequest, model_admin: ReadOnlyAdmin, approval: Approval, effects: Sequence[str], back: str
) -> HttpResponse:
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": _("Approve"),
        "original": approval,
        "description": approval.get_operation_display(),
        "obstacle": _decision_obstacle(request, approval),
        "effects": effects,
        "facts": _list_facts(approval),
        "form": ApproveForm(approval),
        "back": back,
    }
    return TemplateResponse(request, "backoffice/action_page.html", context)


def _reject_page(
    request: HttpRequest,
    model_admin: ReadOnlyAdmin,
    approval: Approval,
    form: RejectForm,
    back: str,
    *,
    status: int,
) -> HttpResponse:
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": _("Reject"),
        "original": approval,
        "description": _("Nothing is changed. The requester sees the reason in the timeline."),
        "form": form,
        "back": back,
    }
    return TemplateResponse(request, "backoffice/action_page.html", context, status=status)
