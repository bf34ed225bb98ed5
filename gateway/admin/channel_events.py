"""Pages of channel events: the verified webhooks of channels."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from common.admin import ReadOnlyAdmin, label_column
from gateway.models import ChannelEvent, UpdateEffect


@admin.register(ChannelEvent)
class ChannelEventAdmin(ReadOnlyAdmin):
    outcome = label_column("effect", _("effect"), UpdateEffect)
    list_display = ("received_at", "channel", "type", "reference", "outcome", "event_id")
    readonly_fields = ("outcome",)
    fields = (
        "received_at",
        "channel",
        "type",
        "reference",
        "outcome",
        "unknown_updates",
        "event_id",
        "payload",
    )
    search_fields = ("=reference", "=event_id")
    search_help_text = _("Payment number, refund number or the channel's event id, in full.")
