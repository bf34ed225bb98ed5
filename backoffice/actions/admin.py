"""The one mechanism for admin actions: address, permission, button, page or dialog, form, approval and messages of each
action that an admin class declares in `staff_actions`. The service that an action calls writes the audit log."""

import uuid

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import URLPattern

from backoffice.actions import approval_pages
from backoffice.actions.buttons import ActionButtons
from backoffice.actions.declaration import ActionTarget, AdminAction
from backoffice.actions.row_pages import RowActionPages
from backoffice.actions.selection_pages import SelectionActionPages


class ActionsAdmin(ActionButtons, RowActionPages, SelectionActionPages):  # type: ignore[misc]  # unfold's mixins
    """For the pages of objects on which staff act. What a subclass may replace is in `ActionsBase`."""

    def get_urls(self) -> list[URLPattern]:
        own = [
            self._url_of(action) for action in self.staff_actions if action.target is not ActionTarget.ROWS
        ]
        if any(action.target is ActionTarget.ROWS for action in self.staff_actions):
            own.append(self._path("operate/<str:name>/", self.rows_action_view, "operate"))
        if self.approval_flow is not None:
            own.append(self._path("<uuid:object_id>/decide/", self.decide_view, "decide"))
        return [*own, *super().get_urls()]

    def _url_of(self, action: AdminAction) -> URLPattern:
        def view(request: HttpRequest, object_id: str | None = None) -> HttpResponseBase:
            return self.action_view(request, action, object_id)

        route = (
            f"{action.name}/" if action.target is ActionTarget.LIST else f"<path:object_id>/{action.name}/"
        )
        return self._path(route, view, action.name)

    def decide_view(self, request: HttpRequest, object_id: uuid.UUID) -> HttpResponse:
        assert self.approval_flow is not None
        (row,) = self._rows_of(request, str(object_id))
        back = self._page_url(row)
        return approval_pages.decide(request, self, self.approval_flow, row, back=back)
