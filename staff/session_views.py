"""Pages of open sessions: one's own and, for administrators, those of others; and the change of one's password."""

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from audit.action_types import StaffActionType
from common.errors import OperationRefused, UnknownObject
from staff import sessions
from staff.forms import EndSessionsForm
from staff.roles import Permission, has_permission
from staff.second_factor import record_own_change
from staff.views import get_user


@require_GET
def show_sessions(request: HttpRequest, user_id: int | None = None) -> HttpResponse:
    user = _find_user(request, user_id)
    is_own = user.pk == request.user.pk
    context = {
        **admin.site.each_context(request),
        "title": _("Open sessions")
        if is_own
        else _("Open sessions of %(name)s") % {"name": user.get_username()},
        "sessions": sessions.list_open_sessions(user=user, current_key=request.session.session_key),
        "is_own": is_own,
        "person": user,
    }
    return TemplateResponse(request, "staff/sessions.html", context)


@require_POST
def end_sessions(request: HttpRequest, user_id: int | None = None) -> HttpResponse:
    """Ends the session in the field `session`, or without one all but this one."""
    user = _find_user(request, user_id)
    back = redirect("staff_sessions") if user_id is None else redirect("staff_sessions_of", user_id)
    form = EndSessionsForm(request.POST)
    if not form.is_valid():
        messages.error(request, f"{_('Reason')}: {' '.join(map(str, form.errors['reason']))}")
        return back
    actor, reason = get_user(request).get_username(), form.cleaned_data["reason"]
    try:
        done = _end(request, user, actor=actor, reason=reason)
    except (ValueError, UnknownObject):
        messages.error(request, _("This session has ended already."))
    except OperationRefused as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, done)
    return back


def _end(request: HttpRequest, user: User, *, actor: str, reason: str) -> str:
    """Returns what was done. Raises `ValueError` for what is no id of a session, and the errors of the service."""
    chosen = request.POST.get("session", "")
    if chosen:
        sessions.end_session(user=user, session_id=UUID(chosen), actor=actor, reason=reason)
        return _("The session has ended.")
    own_key = request.session.session_key
    ended = sessions.end_all_sessions(user=user, actor=actor, reason=reason, except_key=own_key)
    return _("Sessions ended: %(count)d") % {"count": ended}


def change_password(request: HttpRequest) -> HttpResponse:
    """Django's page. A new password ends the person's other sessions and is in the audit log."""
    user: Any = request.user
    with transaction.atomic():
        response: HttpResponse = admin.site.password_change(request)
        if request.method == "POST" and response.status_code == 302:
            sessions.delete_sessions(user, except_key=request.session.session_key)
            record_own_change(user, StaffActionType.STAFF_PASSWORD_SET)
    return response


def _find_user(request: HttpRequest, user_id: int | None) -> User:
    if user_id is None:
        return get_user(request)
    if not has_permission(request.user, Permission.MANAGE_STAFF):
        raise PermissionDenied
    user = User.objects.filter(pk=user_id, is_staff=True).first()
    if user is None:
        raise Http404
    return user
