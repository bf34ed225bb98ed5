"""The audit: what staff did, to be searched and exported, and changed by nobody."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from common.admin import known_values_filter
from ops.models import StaffAction
from ops.operation_pages import OperableAdmin

OBJECT_TYPES = (
    "api_key",
    "export",
    "merchant",
    "payment",
    "refund",
    "routing_rule",
    "saga",
    "staff",
    "webhook_endpoint",
)


@admin.register(StaffAction)
class StaffActionAdmin(OperableAdmin):
    export_kind = "staff_actions"
    list_filter = (known_values_filter("object_type", _("object type"), lambda: OBJECT_TYPES),)
    list_display = ("created_at", "actor", "action", "object_type", "object_id", "reason", "address")
    search_fields = ("=object_id", "=actor", "=action", "=request_id")
    search_help_text = _("Id of the object, name of the person, the action or the request id, in full.")
    readonly_fields = ("created_at",)
