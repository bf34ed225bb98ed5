from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from common.admin import ReadOnlyAdmin
from events.models import OutboxEvent


@admin.register(OutboxEvent)
class OutboxEventAdmin(ReadOnlyAdmin):
    list_display = ("id", "type", "ordering_key", "environment", "created_at", "published_at")
    list_filter = (("published_at", admin.EmptyFieldListFilter),)
    search_fields = ("=ordering_key", "=event_id")
    search_help_text = _("Payment number or event id, in full.")
    readonly_fields = ("created_at",)
