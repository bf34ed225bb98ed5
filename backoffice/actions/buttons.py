"""The buttons of actions on a list and on the page of an object, with their dialogs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from django.contrib.admin.utils import unquote
from django.http import HttpRequest, HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from audit import services as audit
from audit.action_types import ObjectType, StaffActionType
from backoffice.actions import approval_pages
from backoffice.actions.base import ActionsBase
from backoffice.actions.declaration import ActionTarget, AdminAction, ChoiceEffects, ReasonForm
from backoffice.actions.row_references import row_version
from backoffice.exports.list_filters import list_query
from staff.roles import Permission, has_permission


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


class ActionButtons(ActionsBase):
    export_kind: ClassVar[str] = ""  # of backoffice/exports/kinds.py: the list then offers its export
    # Set for objects that hold a secret: opening their page is recorded.
    view_recorded_as: ClassVar[tuple[StaffActionType, ObjectType] | None] = None
    # Where the theme lets a page show something above its own form. The buttons of a list are in `office/list.html`.
    change_form_outer_before_template = "backoffice/parts/actions.html"  # type: ignore[assignment]

    def list_links(self, request: HttpRequest) -> list[OfferedAction]:
        """Further buttons above the list."""
        return []

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        offered = [
            self._offer(request, action, None)
            for action in self.staff_actions
            if action.target is ActionTarget.LIST
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
            if action.target is not ActionTarget.LIST
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
            seen=row_version(row) if action.target is ActionTarget.ROWS else "",
            is_destructive=action.is_destructive,
            choice_field=action.choice_field,
            choices=action.describe_choices(row) if has_dialog else (),
        )
