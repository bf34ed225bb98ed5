"""The one mechanism for admin actions: address, permission, button, page or dialog, form, approval and messages of each
action that an admin class declares in `staff_actions`. The service that an action calls writes the audit log."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from audit import services as audit
from audit.action_types import ObjectType, StaffActionType
from backoffice.actions import approval_pages
from backoffice.actions.approval_pages import ApprovalFlow
from backoffice.actions.declaration import (
    AdminAction,
    ApprovalRequested,
    ChoiceEffects,
    Performed,
    ReasonForm,
    Result,
    Scope,
    ShownOnce,
)
from backoffice.actions.refusals import refusal_text
from backoffice.actions.row_references import (
    parse_row_id,
    parse_row_version,
    row_version,
    rows_action_url,
)
from backoffice.exports.list_filters import list_query
from common.admin import ReadOnlyAdmin
from common.errors import ApiError, FieldsRefused, OperationRefused
from staff import step_up
from staff.roles import Permission, has_permission
from staff.step_up_views import redirect_to_step_up

MAX_ROWS = 50  # of one bulk action: as many as a page of the list has, and a link can name


@dataclass(frozen=True, slots=True)
class OfferedAction:
    """A button. `obstacle` says why it is disabled; a dialog has its `form`, and posts to `post_url`."""

    name: str
    label: str | Promise
    description: str | Promise
    obstacle: str
    url: str
    post_url: str = ""
    form: ReasonForm | None = None
    effects: Sequence[str] = ()
    facts: Sequence[tuple[str, str]] = ()
    seen: str = ""
    is_destructive: bool = False
    choice_field: str = ""
    choices: Sequence[ChoiceEffects] = ()


class ActionsAdmin(ReadOnlyAdmin):
    staff_actions: ClassVar[Sequence[AdminAction]] = ()
    approval_flow: ClassVar[ApprovalFlow | None] = None
    export_kind: ClassVar[str] = ""  # of backoffice/exports/kinds.py: the list then offers its export
    # Set for objects that hold a secret: opening their page is recorded.
    view_recorded_as: ClassVar[tuple[StaffActionType, ObjectType] | None] = None
    # Where the theme lets a page show something above its own form. The buttons of a list are in `office/list.html`.
    change_form_outer_before_template = "backoffice/parts/actions.html"  # type: ignore[assignment]

    # --- what a subclass may replace

    def load_rows(self, request: HttpRequest, ids: Sequence[str]) -> list[Any]:
        """The objects as actions and the page see them. Unknown and malformed ids are left out."""
        return [row for each in ids if (row := self.get_object(request, each)) is not None]

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """What the object's page shows besides its fields and actions."""
        return {}

    def describe_row(self, row: Any) -> tuple[str, Sequence[str]]:
        """Title and facts of a row on the page of a bulk action."""
        return str(row), ()

    def list_links(self, request: HttpRequest) -> list[OfferedAction]:
        """Further buttons above the list."""
        return []

    # --- addresses

    def get_urls(self) -> list[URLPattern]:
        own = [self._url_of(action) for action in self.staff_actions if action.scope is not Scope.ROWS]
        if any(action.scope is Scope.ROWS for action in self.staff_actions):
            own.append(self._path("operate/<str:name>/", self.rows_action_view, "operate"))
        if self.approval_flow is not None:
            own.append(self._path("<uuid:object_id>/decide/", self.decide_view, "decide"))
        return [*own, *super().get_urls()]

    def _url_of(self, action: AdminAction) -> URLPattern:
        def view(request: HttpRequest, object_id: str | None = None) -> HttpResponseBase:
            return self.action_view(request, action, object_id)

        route = f"{action.name}/" if action.scope is Scope.LIST else f"<path:object_id>/{action.name}/"
        return self._path(route, view, action.name)

    def _path(self, route: str, view: Callable[..., HttpResponseBase], name: str) -> URLPattern:
        return path(route, self.admin_site.admin_view(never_cache(view)), name=self._url_name(name))

    def _url_name(self, name: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{name}"

    def _reverse(self, name: str, *args: Any) -> str:
        return reverse(f"admin:{self._url_name(name)}", args=args)

    def _page_url(self, row: Any) -> str:
        return self._reverse("change", quote(row.id)) if row is not None else self._reverse("changelist")

    def _action_url(self, action: AdminAction, row: Any) -> str:
        if action.scope is Scope.ROWS:
            return rows_action_url(self._reverse("operate", action.name), [row.id])
        return self._reverse(action.name, *([quote(row.id)] if row is not None else []))

    # --- buttons on the list and on the object's page

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        offered = [
            self._offer(request, action, None) for action in self.staff_actions if action.scope is Scope.LIST
        ]
        exported: dict[str, str] = {}
        if self.export_kind and has_permission(request.user, Permission.EXPORT):
            exported = {
                "export_kind": self.export_kind,
                "export_list": list_query(self.export_kind, self.scoped_query(request)),
            }
        offered += self.list_links(request)
        context = {**(extra_context or {}), "offered_actions": offered, **exported}
        return super().changelist_view(request, context)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        context = dict(extra_context or {})
        if self.has_view_permission(request):
            for row in self.load_rows(request, [unquote(object_id)]):
                context |= self._actions_context(request, row) | self.page_context(request, row)
        response = super().change_view(request, object_id, form_url, context)
        if self.view_recorded_as is not None and response.status_code == 200:
            action, object_type = self.view_recorded_as
            audit.record_view(
                actor=request.user.get_username(),
                action=action,
                object_type=object_type,
                object_id=unquote(object_id),
            )
        return response

    def _actions_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        flow = self.approval_flow
        approval = flow.find_pending(row) if flow else None
        offered = [
            self._offer(request, action, row, is_approval_pending=approval is not None)
            for action in self.staff_actions
            if action.scope is not Scope.LIST
        ]
        folded = offered if approval is not None else offered[1:]
        context: dict[str, Any] = {
            "offered_actions": offered,
            "has_folded_actions": any(offer.obstacle for offer in folded),
        }
        if flow and approval is not None:
            decide_url = self._reverse("decide", row.id)
            context |= approval_pages.approval_context(request, approval, decide_url=decide_url)
            context["approval_effects"] = flow.describe_effects(row, approval)
        return context

    def _offer(
        self, request: HttpRequest, action: AdminAction, row: Any, *, is_approval_pending: bool = False
    ) -> OfferedAction:
        if not has_permission(request.user, action.permission):
            obstacle = _("Your role does not permit this action.")
        elif is_approval_pending and action.waits_for_approval:
            obstacle = _("An approval is already pending for this object.")
        else:
            obstacle = action.find_obstacle(row) if row is not None else ""
        has_dialog = action.is_dialog and not obstacle
        return OfferedAction(
            action.name,
            action.label,
            action.description,
            obstacle,
            self._action_url(action, row),
            post_url=self._action_url(action, row).partition("?")[0],
            form=action.build_form([row]) if has_dialog else None,
            effects=action.describe_effects(row) if has_dialog else (),
            facts=action.list_facts(row) if has_dialog else (),
            seen=row_version(row) if action.scope is Scope.ROWS else "",
            is_destructive=action.is_destructive,
            choice_field=action.choice_field,
            choices=action.describe_choices(row) if has_dialog else (),
        )

    # --- the page of an action on one row, or on none

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
            result = action.perform(_user(request), row, form.cleaned_data)
        except (OperationRefused, ApiError) as refused:
            rows = self._rows_of(request, object_id)  # it may have changed under the form
            form = action.build_form(rows, request.POST, files=request.FILES)
            form.is_valid()
            text = _show_at_fields(form, refused)
            return self._action_page(request, action, rows, form, refused=text, status=409)
        return self._answer(request, action, row, result)

    def _rows_of(self, request: HttpRequest, object_id: str | None) -> list[Any]:
        if object_id is None:
            return []
        rows = self.load_rows(request, [unquote(object_id)])
        if not rows:
            raise Http404
        return rows

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

    # --- the page of an action on a selection: each row as it was seen, each in a transaction of its own

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
        if action is None or action.scope is not Scope.ROWS:
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
                result = action.perform(_user(request), row, data)
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
            "is_unavailable": all(each["obstacle"] for each in shown),
            "back": self._page_url(rows[0] if len(rows) == 1 else None),
        }
        return self._render(request, "backoffice/action_page.html", context, status)

    # --- approvals

    def decide_view(self, request: HttpRequest, object_id: uuid.UUID) -> HttpResponse:
        assert self.approval_flow is not None
        (row,) = self._rows_of(request, str(object_id))
        back = self._page_url(row)
        return approval_pages.decide(request, self, self.approval_flow, row, back=back)

    # --- shared

    def _require_permission(self, request: HttpRequest, action: AdminAction | None) -> None:
        """An unknown action needs the permission of the known ones: a stranger does not learn which there are."""
        permissions = {action.permission} if action else {each.permission for each in self.staff_actions}
        if not self.has_view_permission(request) or not any(
            has_permission(request.user, each) for each in permissions
        ):
            raise PermissionDenied

    def _render(
        self, request: HttpRequest, template: str, context: Mapping[str, Any], status: int = 200
    ) -> TemplateResponse:
        shared = {**self.admin_site.each_context(request), "opts": self.opts}
        return TemplateResponse(request, template, {**shared, **context}, status=status)


def _show_at_fields(form: ReasonForm, refused: OperationRefused | ApiError) -> str:
    """Shows what is wrong with fields of the form at these fields. Returns the text that is left to show."""
    if isinstance(refused, FieldsRefused) and refused.fields.keys() <= form.fields.keys():
        for field, text in refused.fields.items():
            form.add_error(field, text)
        return ""
    return refusal_text(refused)


def _user(request: HttpRequest) -> Any:
    return request.user
