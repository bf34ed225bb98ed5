from typing import Any

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from common.admin import ReadOnlyAdmin, label_column
from events.models import OutboxEvent
from merchants.admin import EnvironmentFilter, MerchantFilter
from merchants.models import Environment, Merchant


@admin.display(description=_("merchant"))
def merchant_link(_admin: Any, row: Any) -> SafeString:
    """For rows that hold only the merchant's id: shows its name, linked to its page."""
    name = Merchant.objects.filter(pk=row.merchant_id).values_list("name", flat=True).first()
    url = reverse("admin:merchants_merchant_change", args=[row.merchant_id])
    return format_html('<a class="text-link" href="{}">{}</a>', url, name or row.merchant_id)


@admin.register(OutboxEvent)
class OutboxEventAdmin(ReadOnlyAdmin):
    mode = label_column("environment", _("environment"), Environment)
    list_display = ("id", "type", "ordering_key", "mode", "created_at", "published_at")
    list_filter = (
        ("published_at", admin.EmptyFieldListFilter),
        ("fanned_out_at", admin.EmptyFieldListFilter),
        EnvironmentFilter,
        MerchantFilter,
    )
    search_fields = ("=ordering_key", "=event_id")
    search_help_text = _("Payment number or event id, in full.")
    fields = readonly_fields = (
        "type",
        "event_id",
        "ordering_key",
        "merchant",
        "mode",
        "subject_id",
        "data",
        "callback_url",
        "trace_context",
        "created_at",
        "published_at",
        "fanned_out_at",
    )
    merchant = merchant_link
