"""What the parts of `ActionsAdmin` share: the declared actions of an admin class, and their rows, addresses, permission
and pages."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.cache import never_cache

from backoffice.actions.approval_pages import ApprovalFlow
from backoffice.actions.declaration import ActionTarget, AdminAction
from backoffice.actions.row_references import rows_action_url
from common.admin import ReadOnlyAdmin
from staff.roles import has_permission


class ActionsBase(ReadOnlyAdmin):
    staff_actions: ClassVar[Sequence[AdminAction]] = ()
    approval_flow: ClassVar[ApprovalFlow | None] = None

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

    def _rows_of(self, request: HttpRequest, object_id: str | None) -> list[Any]:
        if object_id is None:
            return []
        rows = self.load_rows(request, [unquote(object_id)])
        if not rows:
            raise Http404
        return rows

    # --- addresses

    def _path(self, route: str, view: Callable[..., HttpResponseBase], name: str) -> URLPattern:
        return path(route, self.admin_site.admin_view(never_cache(view)), name=self._url_name(name))

    def _url_name(self, name: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{name}"

    def _reverse(self, name: str, *args: Any) -> str:
        return reverse(f"admin:{self._url_name(name)}", args=args)

    def _page_url(self, row: Any) -> str:
        return self._reverse("change", quote(row.id)) if row is not None else self._reverse("changelist")

    def _action_url(self, action: AdminAction, row: Any) -> str:
        if action.target is ActionTarget.ROWS:
            return rows_action_url(self._reverse("operate", action.name), [row.id])
        return self._reverse(action.name, *([quote(row.id)] if row is not None else []))

    # --- pages

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


def get_actor(request: HttpRequest) -> Any:
    """The person who performs an action: the views are open to signed-in staff only."""
    return request.user
