"""The pages of the audit log: searched and exported, never changed."""

from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from audit.action_types import ObjectType, StaffActionType
from audit.models import StaffAction
from backoffice.actions.admin import ActionsAdmin
from common.admin import choice_filter, label_column
from common.admin_labels import label_of

object_filter = choice_filter(
    "object_type",
    _("kind of object"),
    ObjectType.choices,
    lambda rows, value: rows.filter(object_type=value),
)


@admin.register(StaffAction)
class StaffActionAdmin(ActionsAdmin):
    export_kind = "staff_actions"
    kind = label_column("object_type", _("kind of object"), ObjectType)
    list_filter = (object_filter,)
    list_display = ("created_at", "actor", "act", "kind", "object_id", "reason", "address")
    search_fields = ("=object_id", "=actor", "=action", "=request_id")
    search_help_text = _(
        "Id of the object, name of the person, the action's code or the request id, in full."
    )
    readonly_fields = ("created_at", "act", "kind")
    fields = (
        "created_at",
        "actor",
        "act",
        "kind",
        "object_id",
        "reason",
        "before",
        "after",
        "request_id",
        "address",
    )

    @admin.display(description=_("action"))
    def act(self, action: StaffAction) -> SafeString:
        """With the code, which the search finds."""
        return format_html(
            "{}<br><samp class='office-why'>{}</samp>",
            label_of(StaffActionType, action.action),
            action.action,
        )
