"""Settings that people save for lists: their columns, and views, which are filters under a name."""

import uuid
from typing import Any

from django import forms
from django.apps import apps
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from common.admin_lists import list_query
from common.errors import OperationRefused
from common.list_columns import list_names
from staff import preferences

MAX_QUERY = 2000


class ViewForm(forms.Form):
    name = forms.CharField(max_length=60)
    is_shared = forms.BooleanField(required=False)


@require_POST
def save_columns(request: HttpRequest) -> HttpResponse:
    """Without a column, the list shows its own again."""
    model_admin = _requested_list(request)
    known = list_names(model_admin)
    chosen = [name for name in known if name in request.POST.getlist("column")]
    is_default = "restore" in request.POST or chosen == list(model_admin.list_display)
    preferences.save_columns(
        user_id=_user_id(request), list_name=model_admin.list_name, columns=[] if is_default else chosen
    )
    return _back_to_list(request, model_admin)


@require_POST
def save_view(request: HttpRequest) -> HttpResponse:
    model_admin = _requested_list(request)
    if (form := _valid_form(request)) is not None:
        _perform(
            request,
            lambda: preferences.save_view(
                owner_id=_user_id(request),
                list_name=model_admin.list_name,
                name=form["name"],
                query=_clean_query(request),
                is_shared=form["is_shared"],
            ),
        )
    return _back_to_list(request, model_admin)


@require_POST
def change_view(request: HttpRequest, view_id: uuid.UUID) -> HttpResponse:
    """Renames, shares or deletes a view of one's own."""
    model_admin = _requested_list(request)
    if "delete" in request.POST:
        preferences.delete_view(owner_id=_user_id(request), view_id=view_id)
    elif (form := _valid_form(request)) is not None:
        _perform(
            request,
            lambda: preferences.change_view(
                owner_id=_user_id(request), view_id=view_id, name=form["name"], is_shared=form["is_shared"]
            ),
        )
    return _back_to_list(request, model_admin)


def _perform(request: HttpRequest, operation: Any) -> None:
    try:
        operation()
    except OperationRefused as refused:
        messages.error(request, str(refused))


def _valid_form(request: HttpRequest) -> dict[str, Any] | None:
    form = ViewForm(request.POST)
    if form.is_valid():
        return form.cleaned_data
    messages.error(request, _("Enter a name of at most 60 characters."))
    return None


def _requested_list(request: HttpRequest) -> Any:
    """Raises `Http404` for a list that does not exist, `PermissionDenied` for one that the person may not view."""
    try:
        model_admin = admin.site.get_model_admin(apps.get_model(request.POST.get("list", "")))
    except (LookupError, ValueError, admin.exceptions.NotRegistered) as error:
        raise Http404 from error
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    return model_admin


def _clean_query(request: HttpRequest) -> str:
    """The filters, search and order of the list; not its page."""
    return list_query(QueryDict(request.POST.get("query", "")[:MAX_QUERY]))[:MAX_QUERY]


def _back_to_list(request: HttpRequest, model_admin: Any) -> HttpResponse:
    opts = model_admin.opts
    query = _clean_query(request)
    address = reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")
    return redirect(f"{address}?{query}" if query else address)


def _user_id(request: HttpRequest) -> int:
    assert request.user.pk is not None
    return request.user.pk
