"""Pages of payments, their attempts and their reviews."""

import datetime as dt
from typing import Any

from django.contrib import admin
from django.db.models import F, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from channels.registry import list_channel_names
from common.admin import (
    ReadOnlyAdmin,
    badge_column,
    choice_filter,
    flag_column,
    known_values_filter,
    label_column,
    money_column,
)
from common.admin_lists import AmountFilter, CreatedFilter, PaidFilter
from gateway.admin.cards import format_card
from gateway.admin.review_reasons import show_review_reason
from gateway.admin.shared import MoneyAdmin
from gateway.models import Payment, PaymentAttempt, PaymentReview, PaymentStatus, ReviewCode
from merchants.admin import EnvironmentFilter, MerchantFilter, environment_filter

ATTEMPT_COLOURS = {"calling": "info", "open": "info", "succeeded": "success", "declined": "danger"}
MAX_OVERDUE_SHOWN = 1000
channel_filter = known_values_filter("channel", _("channel"), list_channel_names)


def _filter_overdue(rows: QuerySet[Any], _value: str) -> QuerySet[Any]:
    """Open payments that should have expired, the oldest ones. The inner query uses the index of the expiry; without it
    the planner scans all payments, newest first."""
    overdue = Now() - dt.timedelta(minutes=15)
    expirable = [PaymentStatus.PENDING, PaymentStatus.PROCESSING]
    oldest = Payment.objects.filter(status__in=expirable, expires_at__lt=overdue).order_by("expires_at")
    return rows.filter(pk__in=oldest.values("pk")[:MAX_OVERDUE_SHOWN])


overdue_filter = choice_filter(
    "stuck", _("overdue"), [("yes", _("Past its time and still open"))], _filter_overdue
)


class PaymentAdmin(MoneyAdmin):
    """Registered by the back office, which adds operations (`backoffice/payment_admin.py`)."""

    attention = flag_column("needs_attention", _("needs review"))
    captured = money_column("captured_minor", _("captured"))
    refunded = money_column("refunded_minor", _("refunded"))
    being_refunded = money_column("refund_pending_minor", _("refund pending"))
    refundable = money_column("refundable_minor", _("refundable"))
    disputed = money_column("disputed_minor", _("disputed"))

    @admin.display(description=_("card"))
    def card(self, payment: Payment) -> str:
        return format_card(payment, with_wallet=False) or "—"

    list_display = (
        "payment_no",
        "order_no",
        "merchant",
        "amount",
        "coloured_status",
        "created_at",
        "attention",
        "channel",
        "card",
        "mode",
    )
    list_filter = (
        "status",
        channel_filter,
        EnvironmentFilter,
        "needs_attention",
        overdue_filter,
        MerchantFilter,
        AmountFilter,
        CreatedFilter,
        PaidFilter,
    )
    saved_views = (
        (_("All"), ""),
        (_("Needs review"), "needs_attention__exact=1"),
        (_("Overdue"), "stuck=yes"),
        (_("Failed"), "status__exact=failed"),
        (_("Waiting"), "status__exact=pending"),
    )
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
                    "mode",
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
                    "disputed",
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
        (_("Needs review"), {"fields": ("needs_attention", "attention_reason")}),
        (_("Merchant's data"), {"fields": ("callback_url", "return_url", "customer", "metadata")}),
    )


class DuplicateFilter(admin.SimpleListFilter):
    """Duplicate payments: captured for an attempt that a later one had replaced."""

    title = _("duplicate payment")
    parameter_name = "duplicate"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("taken", _("Captured")), ("left", _("Not refunded yet"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[PaymentAttempt]) -> QuerySet[PaymentAttempt]:
        if self.value() not in ("taken", "left"):
            return queryset
        found = queryset.filter(duplicate_minor__gt=0)
        if self.value() == "taken":
            return found
        return found.filter(duplicate_minor__gt=F("duplicate_refunded_minor") + F("duplicate_pending_minor"))


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
    list_filter = ("status", DuplicateFilter, environment_filter("payment__environment"))
    list_select_related = ("payment",)
    search_fields = ("=payment__payment_no", "=reference")


@admin.register(PaymentReview)
class PaymentReviewAdmin(ReadOnlyAdmin):
    why = label_column("code", _("reason"), ReviewCode)
    list_display = ("payment", "why", "subject", "shown_reason", "opened_at", "resolved_at", "resolved_by")
    list_filter = (
        "code",
        ("resolved_at", admin.EmptyFieldListFilter),
        environment_filter("payment__environment"),
    )
    list_select_related = ("payment",)
    search_fields = ("=payment__payment_no", "=subject")
    search_help_text = _("Payment number, or what it is about, in full.")
    ordering = ("-opened_at",)
    readonly_fields = ("why", "shown_reason")
    fields = (
        "payment",
        "why",
        "subject",
        "shown_reason",
        "text",
        "opened_at",
        "resolved_at",
        "resolution",
        "resolved_by",
    )

    @admin.display(description=_("detail"))
    def shown_reason(self, review: PaymentReview) -> str:
        return show_review_reason(review)
