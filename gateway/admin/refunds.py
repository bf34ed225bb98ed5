"""Pages of refunds."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from common.admin_lists import AmountFilter, CreatedFilter
from gateway.admin.shared import MoneyAdmin
from merchants.admin import EnvironmentFilter, MerchantFilter


class RefundAdmin(MoneyAdmin):
    """Registered by the back office, which adds exports and the page (`backoffice/object_admin.py`)."""

    list_display = (
        "refund_no",
        "payment",
        "amount",
        "coloured_status",
        "mode",
        "failure_code",
        "created_at",
        "settled_at",
    )
    list_filter = (
        "status",
        "origin",
        EnvironmentFilter,
        MerchantFilter,
        AmountFilter,
        CreatedFilter,
        ("contradicted_at", admin.EmptyFieldListFilter),
    )
    saved_views = (
        (_("All"), ""),
        (_("Waiting"), "status__exact=processing"),
        (_("Failed"), "status__exact=failed"),
    )
    list_select_related = ("payment",)
    search_fields = ("=refund_no", "=payment__payment_no", "=id")
    search_help_text = _("Refund number or payment number, in full.")
    ordering = ("-created_at",)
    fields = (
        "refund_no",
        "payment",
        "merchant",
        "mode",
        "amount",
        "status",
        "sagas",
        "origin",
        "reason",
        "channel_refund_no",
        "failure_code",
        "failure_message",
        "duplicate_attempt",
        "contradicted_at",
        "previous_status",
        "late_refunded_minor",
        "next_check_at",
        "check_count",
        "created_at",
        "updated_at",
        "settled_at",
    )
