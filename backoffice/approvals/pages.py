"""What the pages on which something waits for a second person have in common."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from backoffice.approvals import decisions
from backoffice.approvals.independence import find_approver_conflict, is_from_terminal
from backoffice.approvals.models import Approval
from backoffice.operation_pages import ReasonForm
from common.admin import ReadOnlyAdmin
from common.admin_forms import dressed
from common.errors import ApiError, OperationRefused
from staff.roles import Permission, has_permission


class RejectForm(ReasonForm):
    approval = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(self, approval: Approval, data: Any = None) -> None:
        super().__init__(data, auto_id="reject_%s", initial={"approval": approval.pk})
        dressed(self)


def offer(request: HttpRequest, approval: Approval | None, *, decide_url: str) -> dict[str, Any]:
    """For `ops/parts/approval.html`."""
    if approval is None:
        return {}
    return {
        "approval": approval,
        "decide_url": decide_url,
        "to_be_adopted": is_from_terminal(approval.requested_by),
        "why_not_decide": _why_not(request, approval),
        "reject_form": RejectForm(approval),
    }


def _why_not(request: HttpRequest, approval: Approval) -> str:
    if not has_permission(request.user, Permission.APPROVE):
        return _("Your role may not approve.")
    if is_from_terminal(approval.requested_by):
        return ""  # may be adopted
    return find_approver_conflict(approver=request.user.get_username(), requester=approval.requested_by)


def decide(
    request: HttpRequest,
    model_admin: ReadOnlyAdmin,
    approval: Approval | None,
    *,
    back: str,
    agree: Callable[[Approval], None],
) -> HttpResponse:
    """The second person's word. A no says why: in a dialog, or on this page where there are none."""
    actor = request.user.get_username()
    agrees, adopts = "approve" in request.POST, "adopt" in request.POST
    takes_back = approval is not None and approval.requested_by == actor and not (agrees or adopts)
    if not (
        model_admin.has_view_permission(request)
        and (takes_back or has_permission(request.user, Permission.APPROVE))
    ):
        raise PermissionDenied
    posted = request.method == "POST"
    if approval is None or (posted and request.POST.get("approval") != str(approval.pk)):
        messages.error(request, _("It has been decided already."))
        return redirect(back)
    form = RejectForm(approval, request.POST if posted else None)
    if not (agrees or adopts) and not form.is_valid():
        return _reject_page(request, model_admin, approval, form, back, status=422 if posted else 200)
    try:
        if adopts:
            decisions.adopt(approval_id=approval.pk, actor=actor)
            messages.warning(request, _("You are the requester now: somebody else must approve it."))
        elif agrees:
            agree(approval)
        else:
            decisions.reject(approval_id=approval.pk, actor=actor, reason=form.cleaned_data["reason"])
            messages.success(request, _("Rejected: nothing was done."))
    except OperationRefused as refused:
        messages.error(request, str(refused))
    except ApiError as refused:
        messages.error(request, str(refused.text))
    return redirect(back)


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
        "meaning": _("Nothing is done. Who asked can read why in the history."),
        "form": form,
        "back": back,
    }
    return TemplateResponse(request, "staff/operation.html", context, status=status)
