"""Payments, refunds and what channels told. Looking only: money moves through services."""

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from common.admin import (
    ReadOnlyAdmin,
    badge_column,
    flag_column,
    known_values_filter,
    money_column,
)
from gateway.models import ChannelEvent, Payment, PaymentAttempt, Refund
from merchants.models import Environment

COLOURS = {
    "pending": "info",
    "processing": "info",
    "authorized": "info",
    "succeeded": "success",
    "failed": "danger",
    "cancelled": "warning",
    "expired": "warning",
}
ATTEMPT_COLOURS = {"calling": "info", "open": "info", "succeeded": "success", "declined": "danger"}
environment_filter = known_values_filter("environment", _("environment"), lambda: Environment.values)


class MoneyAdmin(ReadOnlyAdmin):
    """The columns that payments and refunds share."""

    amount = money_column("amount_minor", _("amount"))
    coloured_status = badge_column("status", _("status"), COLOURS)

    @admin.display(description=_("saga"))
    def sagas(self, row: Payment | Refund) -> SafeString:
        """The saga that made it has its id; those that came later, its number."""
        return format_html(
            '<a class="text-link" href="{}">{}</a> · <a class="text-link" href="{}?q={}">{}</a>',
            reverse("admin:sagas_sagainstance_change", args=[row.pk]),
            _("the saga that made it"),
            reverse("admin:sagas_sagainstance_changelist"),
            row,
            _("all its sagas"),
        )


@admin.register(Payment)
class PaymentAdmin(MoneyAdmin):
    attention = flag_column("needs_attention", _("needs attention"))
    captured = money_column("captured_minor", _("captured"))
    refunded = money_column("refunded_minor", _("refunded"))
    being_refunded = money_column("refund_pending_minor", _("being refunded"))
    refundable = money_column("refundable_minor", _("refundable"))
    list_display = (
        "payment_no",
        "order_no",
        "merchant",
        "amount",
        "coloured_status",
        "channel",
        "environment",
        "attention",
        "created_at",
    )
    list_filter = ("status", environment_filter, "needs_attention")
    list_select_related = ("merchant",)
    search_fields = ("=payment_no", "=order_no", "=channel_trade_no", "=id")
    search_help_text = _("Payment number, order number or the channel's number, in full.")
    ordering = ("-created_at",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "payment_no",
                    "order",
                    "merchant",
                    "environment",
                    "status",
                    "sagas",
                    "subject",
                    "body",
                    "created_at",
                    "expires_at",
                    "paid_at",
                    "closed_at",
                )
            },
        ),
        (
            _("Money"),
            {
                "fields": (
                    "amount",
                    "captured",
                    "refunded",
                    "being_refunded",
                    "refundable",
                    "capture_method",
                )
            },
        ),
        (
            _("Channel"),
            {
                "fields": (
                    "channel",
                    "sandbox",
                    "channel_trade_no",
                    "payment_url",
                    "failure_code",
                    "failure_message",
                    "next_check_at",
                    "check_count",
                )
            },
        ),
        (_("Needs a person"), {"fields": ("needs_attention", "attention_reason")}),
        (_("Merchant's data"), {"fields": ("callback_url", "return_url", "customer", "metadata")}),
    )


@admin.register(PaymentAttempt)
class PaymentAttemptAdmin(ReadOnlyAdmin):
    coloured_status = badge_column("status", _("status"), ATTEMPT_COLOURS)
    list_display = (
        "payment",
        "number",
        "channel",
        "coloured_status",
        "channel_trade_no",
        "failure_code",
        "created_at",
    )
    list_filter = ("status",)
    list_select_related = ("payment",)
    search_fields = ("=payment__payment_no",)


@admin.register(Refund)
class RefundAdmin(MoneyAdmin):
    list_display = (
        "refund_no",
        "payment",
        "amount",
        "coloured_status",
        "environment",
        "failure_code",
        "created_at",
        "settled_at",
    )
    list_filter = ("status", environment_filter)
    list_select_related = ("payment",)
    search_fields = ("=refund_no", "=payment__payment_no", "=id")
    search_help_text = _("Refund number or payment number, in full.")
    ordering = ("-created_at",)
    fields = (
        "refund_no",
        "payment",
        "merchant",
        "environment",
        "amount",
        "status",
        "sagas",
        "reason",
        "channel_refund_no",
        "failure_code",
        "failure_message",
        "next_check_at",
        "check_count",
        "created_at",
        "updated_at",
        "settled_at",
    )


@admin.register(ChannelEvent)
class ChannelEventAdmin(ReadOnlyAdmin):
    list_display = ("received_at", "channel", "type", "reference", "effect", "event_id")
    search_fields = ("=reference", "=event_id")
    search_help_text = _("Payment number, refund number or the channel's event id, in full.")
