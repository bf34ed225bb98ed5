from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from common.admin import ReadOnlyAdmin, badge_column, choice_filter, word_column
from common.admin_lists import CreatedFilter
from events.models import OutboxEvent
from events.webhooks.models import (
    DeliveryStatus,
    EndpointStatus,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
)
from merchants.admin import environment_filter
from merchants.models import Environment, Merchant

DUE_SHOWN = 1000


@admin.display(description=_("merchant"))
def merchant_link(_admin: Any, row: OutboxEvent | WebhookDelivery) -> SafeString:
    """Of rows that keep the merchant's id alone: its name, leading to its page."""
    name = Merchant.objects.filter(pk=row.merchant_id).values_list("name", flat=True).first()
    url = reverse("admin:merchants_merchant_change", args=[row.merchant_id])
    return format_html('<a class="text-link" href="{}">{}</a>', url, name or row.merchant_id)


def _due(rows: QuerySet[Any], _value: str) -> QuerySet[Any]:
    """The oldest of them, by the index of what is pending: the planner would rather walk all, newest first."""
    due = WebhookDelivery.objects.filter(
        status=DeliveryStatus.PENDING, due_at__lte=Now(), endpoint__status=EndpointStatus.ENABLED
    )
    return rows.filter(pk__in=due.order_by("due_at").values("pk")[:DUE_SHOWN])


due_filter = choice_filter("due", _("due"), [("yes", _("Due, and sent by nobody yet"))], _due)


@admin.register(OutboxEvent)
class OutboxEventAdmin(ReadOnlyAdmin):
    mode = word_column("environment", _("environment"), Environment)
    list_display = ("id", "type", "ordering_key", "mode", "created_at", "published_at")
    list_filter = (
        ("published_at", admin.EmptyFieldListFilter),
        ("fanned_out_at", admin.EmptyFieldListFilter),
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


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(ReadOnlyAdmin):
    coloured_status = badge_column("status", _("status"), {"enabled": "success", "disabled": "danger"})
    list_display = (
        "url",
        "merchant",
        "environment",
        "kind",
        "coloured_status",
        "failing_since",
        "created_at",
    )
    list_filter = ("status", "kind")
    list_select_related = ("merchant",)
    search_fields = ("=id", "=url", "=merchant__email")
    search_help_text = _("Endpoint id, address or the merchant's e-mail, in full.")
    exclude = ("sealed_secret", "previous_sealed_secret")
    readonly_fields = ("created_at",)
    ordering = ("-id",)


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ReadOnlyAdmin):
    coloured_status = badge_column(
        "status", _("status"), {"pending": "info", "delivered": "success", "failed": "danger"}
    )
    list_display = (
        "event",
        "endpoint",
        "coloured_status",
        "attempt_count",
        "last_outcome",
        "last_status_code",
        "created_at",
        "due_at",
        "delivered_at",
    )
    list_filter = ("status", due_filter, environment_filter, CreatedFilter)
    saved_views = (
        (_("All"), ""),
        (_("Due, and sent by nobody yet"), "due=yes"),
        (_("Failed"), "status__exact=failed"),
    )
    list_select_related = ("event", "endpoint")
    search_fields = ("=id", "=event__event_id", "=event__ordering_key")
    search_help_text = _("Delivery id, event id or payment number, in full.")
    fields = readonly_fields = (
        "event",
        "endpoint",
        "merchant",
        "environment",
        "callback_url",
        "status",
        "attempt_count",
        "last_outcome",
        "last_status_code",
        "created_at",
        "due_at",
        "delivered_at",
        "lease_expires_at",
        "fence",
    )
    merchant = merchant_link
    ordering = ("-created_at",)


@admin.register(WebhookAttempt)
class WebhookAttemptAdmin(ReadOnlyAdmin):
    list_display = ("started_at", "delivery", "url", "outcome", "status_code", "duration_ms", "error")
    list_filter = ("outcome",)
    list_select_related = ("delivery",)
    search_fields = ("=delivery__id", "=delivery__event__event_id")
    search_help_text = _("Delivery id or event id, in full.")
    readonly_fields = ("started_at",)
    ordering = ("-id",)
