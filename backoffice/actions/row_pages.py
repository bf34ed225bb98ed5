"""The page of an action on one object, or on none: its form, its refusals and its answer."""

from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from backoffice.actions.base import ActionsBase, get_actor
from backoffice.actions.declaration import (
    AdminAction,
    ApprovalRequested,
    Performed,
    ReasonForm,
    Result,
    ShownOnce,
)
from backoffice.actions.refusals import refusal_text
from common.errors import ApiError, FieldsRefused, OperationRefused
from staff import step_up
from staff.step_up_views import redirect_to_step_up


class RowActionPages(ActionsBase):
    def action_view(
        self, request: HttpRequest, action: AdminAction, object_id: str | None
    ) -> HttpResponseBase:
        self._require_permission(request, action)
        if step_up.is_step_up_needed(request.session, action.permission):
            return redirect_to_step_up(request)
        rows = self._rows_of(request, object_id)
        if request.method != "POST":
            # A link may fill in the form: the export of a list that was filtered.
            return self._action_page(request, action, rows, action.build_form(rows, None, request.GET.dict()))
        form = action.build_form(rows, request.POST, files=request.FILES)
        if not form.is_valid():
            return self._action_page(request, action, rows, form, status=422)
        row = rows[0] if rows else None
        try:
            result = action.perform(get_actor(request), row, form.cleaned_data)
        except (OperationRefused, ApiError) as refused:
            rows = self._rows_of(request, object_id)  # it may have changed under the form
            form = action.build_form(rows, request.POST, files=request.FILES)
            form.is_valid()
            text = _show_at_fields(form, refused)
            return self._action_page(request, action, rows, form, refused=text, status=409)
        return self._answer(request, action, row, result)

    def _answer(
        self, request: HttpRequest, action: AdminAction, row: Any, result: Result
    ) -> HttpResponseBase:
        match result:
            case ShownOnce():
                # In the response itself: a redirect would have to store the secret until it is fetched.
                context = {
                    "title": action.label,
                    "original": row,
                    "shown": result,
                    "back": self._page_url(row),
                }
                response = self._render(request, "backoffice/shown_once.html", context)
                response["Cache-Control"] = "no-store"
                return response
            case HttpResponseBase():
                return result
            case ApprovalRequested(message):
                messages.warning(request, message)
            case Performed(message, level):
                messages.add_message(request, level, message)
            case None:
                messages.success(request, _("%(operation)s: done.") % {"operation": action.label})
        return redirect(self._page_url(row))

    def _action_page(
        self,
        request: HttpRequest,
        action: AdminAction,
        rows: Sequence[Any],
        form: ReasonForm,
        *,
        refused: str = "",
        status: int = 200,
    ) -> HttpResponse:
        row = rows[0] if rows else None
        context = {
            "title": action.label,
            "original": row,
            "description": action.description,
            "form": form,
            "refused": refused,
            "obstacle": action.find_obstacle(row) if rows else "",
            "effects": action.describe_effects(row) if rows else (),
            "facts": action.list_facts(row) if rows else (),
            "back": self._page_url(row),
        }
        return self._render(request, "backoffice/action_page.html", context, status)


def _show_at_fields(form: ReasonForm, refused: OperationRefused | ApiError) -> str:
    """Shows what is wrong with fields of the form at these fields. Returns the text that is left to show."""
    if isinstance(refused, FieldsRefused) and refused.fields.keys() <= form.fields.keys():
        for field, text in refused.fields.items():
            form.add_error(field, text)
        return ""
    return refusal_text(refused)
