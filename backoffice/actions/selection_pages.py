"""The page of an action on a selection of a list: each row as it was seen, each in a transaction of its own."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from backoffice.actions.base import ActionsBase, get_actor
from backoffice.actions.declaration import ActionTarget, AdminAction, ApprovalRequested, ReasonForm
from backoffice.actions.refusals import refusal_text
from backoffice.actions.row_references import parse_row_id, parse_row_version, row_version, rows_action_url
from common.errors import ApiError, OperationRefused
from staff import step_up
from staff.roles import has_permission
from staff.step_up_views import redirect_to_step_up

MAX_ROWS: Final = 50  # of one bulk action: as many as a page of the list has, and a link can name


class SelectionActionPages(ActionsBase):
    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        bulk = {
            action.name: (self._select_rows(action), action.name, action.label)
            for action in self.staff_actions
            if action.is_bulk and has_permission(request.user, action.permission)
        }
        return {**super().get_actions(request), **bulk}

    def _select_rows(self, action: AdminAction) -> Callable[[Any, HttpRequest, Any], HttpResponse]:
        def open_page(_admin: Any, request: HttpRequest, selected: Any) -> HttpResponse:
            ids = list(selected.values_list("pk", flat=True)[: MAX_ROWS + 1])
            if len(ids) > MAX_ROWS:
                text = _(
                    "Only the first %(count)d selected rows are shown. Repeat the action for the others."
                )
                messages.warning(request, text % {"count": MAX_ROWS})
            return redirect(rows_action_url(self._reverse("operate", action.name), ids[:MAX_ROWS]))

        return open_page

    def rows_action_view(self, request: HttpRequest, name: str) -> HttpResponse:
        action = next((each for each in self.staff_actions if each.name == name), None)
        self._require_permission(request, action)
        if action is None or action.target is not ActionTarget.ROWS:
            raise Http404
        if step_up.is_step_up_needed(request.session, action.permission):
            return redirect_to_step_up(request)
        if request.method != "POST":
            rows = self._selected_rows(request, action, request.GET.getlist("id"))
            return self._rows_page(request, action, rows, action.build_form(rows))
        seen = dict(parse_row_version(each) for each in request.POST.getlist("seen"))
        rows = self._selected_rows(request, action, list(seen))
        form = action.build_form(rows, request.POST)
        if not form.is_valid():
            return self._rows_page(request, action, rows, form, status=422)
        done, requested, refused = 0, 0, {}
        for row in rows:
            data = {**form.cleaned_data, "seen_revision": seen[str(row.id)]}
            try:
                result = action.perform(get_actor(request), row, data)
            except (OperationRefused, ApiError) as error:
                refused[row.id] = refusal_text(error)
            else:
                requested += isinstance(result, ApprovalRequested)
                done += not isinstance(result, ApprovalRequested)
        self._report_counts(request, action, done, requested)
        if refused:
            rows = self.load_rows(request, [str(row_id) for row_id in refused])
            form = action.build_form(rows, request.POST)
            form.is_valid()
            return self._rows_page(request, action, rows, form, refused, status=409)
        return redirect(self._page_url(rows[0] if len(rows) == 1 else None))

    def _selected_rows(self, request: HttpRequest, action: AdminAction, ids: Sequence[str]) -> list[Any]:
        rows = self.load_rows(request, [str(parse_row_id(each)) for each in ids][:MAX_ROWS])
        if not rows or (len(ids) > 1 and not action.is_bulk):
            raise Http404
        return rows

    def _report_counts(self, request: HttpRequest, action: AdminAction, done: int, requested: int) -> None:
        if done:
            messages.success(request, str(action.rows_message) % {"operation": action.label, "count": done})
        if requested:
            text = _("%(operation)s: approval requested for %(count)d, because of the amount.")
            messages.warning(request, text % {"operation": action.label, "count": requested})

    def _rows_page(
        self,
        request: HttpRequest,
        action: AdminAction,
        rows: Sequence[Any],
        form: ReasonForm,
        refused: Mapping[Any, str] | None = None,
        *,
        status: int = 200,
    ) -> HttpResponse:
        """Shows each row as it is now, with the revision that the decision will be about."""
        if not rows:
            raise Http404
        shown = []
        for row in rows:
            title, facts = self.describe_row(row)
            shown.append(
                {
                    "title": title,
                    "facts": facts,
                    "url": self._page_url(row),
                    "effects": action.describe_effects(row),
                    "choices": action.describe_choices(row),
                    "choice_field": action.choice_field,
                    "obstacle": action.find_obstacle(row),
                    "refused": (refused or {}).get(row.id, ""),
                    "seen": row_version(row),
                }
            )
        context = {
            "title": action.label,
            "description": action.description,
            "form": form,
            "rows": shown,
            "environment_rows": rows,
            "is_unavailable": all(each["obstacle"] for each in shown),
            "back": self._page_url(rows[0] if len(rows) == 1 else None),
        }
        return self._render(request, "backoffice/action_page.html", context, status)
