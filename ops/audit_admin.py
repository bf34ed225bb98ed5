"""The audit: what staff did, to be searched and exported, and changed by nobody."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from common.admin import ReadOnlyAdmin
from ops.models import StaffAction


@admin.register(StaffAction)
class StaffActionAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "actor", "action", "object_type", "object_id", "reason", "address")
    search_fields = ("=object_id", "=actor", "=action", "=request_id")
    search_help_text = _("Id of the object, name of the person, the action or the request id, in full.")
    readonly_fields = ("created_at",)
