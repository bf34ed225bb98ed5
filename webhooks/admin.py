from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from common.admin import ReadOnlyAdmin, badge_column, choice_filter
from common.admin_lists import CreatedFilter
from events.admin import merchant_link
from merchants.admin import EnvironmentFilter, MerchantFilter, environment_filter
from webhooks.models import DeliveryStatus, EndpointStatus, WebhookAttempt, WebhookDelivery, WebhookEndpoint

MAX_DUE_SHOWN = 1000


def _filter_due(rows: QuerySet[Any], _value: str) -> QuerySet[Any]:
    """Returns the oldest due deliveries, by the index of pending ones. Without the subquery, the planner would read all
    deliveries, newest first."""
    due = WebhookDelivery.objects.filter(
        status=DeliveryStatus.PENDING, due_at__lte=Now(), endpoint__status=EndpointStatus.ENABLED
    )
    return rows.filter(pk__in=due.order_by("due_at").values("pk")[:MAX_DUE_SHOWN])


due_filter = choice_filter("due", _("due"), [("yes", _("Due, not sent yet"))], _filter_due)


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
    list_filter = ("status", "kind", EnvironmentFilter, MerchantFilter)
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
    list_filter = ("status", due_filter, EnvironmentFilter, MerchantFilter, CreatedFilter)
    saved_views = (
        (_("All"), ""),
        (_("Due, not sent yet"), "due=yes"),
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
    list_filter = ("outcome", environment_filter("delivery__environment"))
    list_select_related = ("delivery",)
    search_fields = ("=delivery__id", "=delivery__event__event_id")
    search_help_text = _("Delivery id or event id, in full.")
    readonly_fields = ("started_at",)
    ordering = ("-id",)
