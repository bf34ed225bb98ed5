"""Payments, refunds and what channels told. Looking only: money moves through services."""

import datetime as dt
import uuid
from typing import Any

from django.contrib import admin
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from channels.registry import list_channel_names
from common.admin import (
    ReadOnlyAdmin,
    badge_column,
    choice_filter,
    flag_column,
    known_values_filter,
    money_column,
    word_column,
)
from common.admin_lists import AmountFilter, CreatedFilter, Input, InputsFilter, PaidFilter
from gateway.models import (
    ChannelEvent,
    Dispute,
    Payment,
    PaymentAttempt,
    PaymentReview,
    PaymentStatus,
    Refund,
    ReviewCode,
    RoutingRule,
    UpdateEffect,
)
from merchants.admin import environment_filter
from merchants.models import Environment, Merchant

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
DISPUTE_COLOURS = {"needs_response": "danger", "under_review": "warning", "won": "success", "lost": "danger"}
channel_filter = known_values_filter("channel", _("channel"), list_channel_names)
STUCK_SHOWN = 1000


class MerchantFilter(InputsFilter):
    title = _("merchant")
    inputs = (Input("merchant", _("Merchant's e-mail or id")),)

    def queryset(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        term = self.value("merchant")
        if not term:
            return rows
        try:
            by = Q(pk=uuid.UUID(term))
        except ValueError:
            by = Q(email=term.lower())
        merchant_id = Merchant.objects.filter(by).values_list("pk", flat=True).first()
        if merchant_id is None:
            self.not_understood(request, self.inputs[0])
            return rows
        return rows.filter(merchant_id=merchant_id)


def _stuck(rows: QuerySet[Any], _value: str) -> QuerySet[Any]:
    """Past its time and still open: the expiry did not come to it. The oldest of them, by the index of the expiry:
    the planner would rather walk through all payments, newest first."""
    late = Now() - dt.timedelta(minutes=15)
    waiting = [PaymentStatus.PENDING, PaymentStatus.PROCESSING]
    oldest = Payment.objects.filter(status__in=waiting, expires_at__lt=late).order_by("expires_at")
    return rows.filter(pk__in=oldest.values("pk")[:STUCK_SHOWN])


stuck_filter = choice_filter("stuck", _("stuck"), [("yes", _("Past its time and still open"))], _stuck)


class MoneyAdmin(ReadOnlyAdmin):
    """The columns that payments and refunds share."""

    amount = money_column("amount_minor", _("amount"))
    coloured_status = badge_column("status", _("status"), COLOURS)
    mode = word_column("environment", _("environment"), Environment)

    @admin.display(description=_("saga"))
    def sagas(self, row: Payment | Refund) -> SafeString:
        """The saga that made it has its id; those that came later, its number."""
        return format_html(
            '<a class="text-link" href="{}">{}</a> · <a class="text-link" href="{}?q={}">{}</a>',
            reverse("admin:sagas_sagainstance_change", args=[row.pk]),
            _("the saga that made it"),
            reverse("admin:sagas_sagainstance_changelist"),
            row,
            _("all sagas of this payment"),
        )


@admin.register(Payment)
class PaymentAdmin(MoneyAdmin):
    attention = flag_column("needs_attention", _("needs review"))
    captured = money_column("captured_minor", _("captured"))
    refunded = money_column("refunded_minor", _("refunded"))
    being_refunded = money_column("refund_pending_minor", _("refund pending"))
    refundable = money_column("refundable_minor", _("refundable"))
    disputed = money_column("disputed_minor", _("disputed"))
    list_display = (
        "payment_no",
        "order_no",
        "merchant",
        "amount",
        "coloured_status",
        "created_at",
        "attention",
        "channel",
        "mode",
    )
    list_filter = (
        "status",
        channel_filter,
        environment_filter,
        "needs_attention",
        stuck_filter,
        MerchantFilter,
        AmountFilter,
        CreatedFilter,
        PaidFilter,
    )
    saved_views = (
        (_("All"), ""),
        (_("Needs review"), "needs_attention__exact=1"),
        (_("Stuck"), "stuck=yes"),
        (_("Failed"), "status__exact=failed"),
        (_("Waiting"), "status__exact=pending"),
        (_("Live"), "environment=live"),
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


class SurplusFilter(admin.SimpleListFilter):
    """Second money: taken by an attempt that had been given up."""

    title = _("duplicate payment")
    parameter_name = "surplus"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("taken", _("Taken")), ("left", _("Not given back yet"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[PaymentAttempt]) -> QuerySet[PaymentAttempt]:
        if self.value() not in ("taken", "left"):
            return queryset
        found = queryset.filter(surplus_minor__gt=0)
        if self.value() == "taken":
            return found
        return found.filter(surplus_minor__gt=F("surplus_refunded_minor") + F("surplus_pending_minor"))


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
    list_filter = ("status", SurplusFilter)
    list_select_related = ("payment",)
    search_fields = ("=payment__payment_no", "=reference")


@admin.register(Refund)
class RefundAdmin(MoneyAdmin):
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
        environment_filter,
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
        "surplus_of",
        "contradicted_at",
        "previous_status",
        "late_refunded_minor",
        "next_check_at",
        "check_count",
        "created_at",
        "updated_at",
        "settled_at",
    )


@admin.register(Dispute)
class DisputeAdmin(ReadOnlyAdmin):
    amount = money_column("amount_minor", _("amount"))
    coloured_status = badge_column("status", _("status"), DISPUTE_COLOURS)
    mode = word_column("environment", _("environment"), Environment)
    list_display = (
        "dispute_no",
        "payment",
        "amount",
        "reason",
        "coloured_status",
        "evidence_due_by",
        "mode",
        "created_at",
    )
    list_filter = ("status", "is_inquiry", environment_filter, MerchantFilter, CreatedFilter)
    saved_views = ((_("All"), ""), (_("Needs a response"), "status__exact=needs_response"))
    list_select_related = ("payment",)
    search_fields = ("=dispute_no", "=payment__payment_no", "=channel_dispute_no")
    search_help_text = _("Dispute number, payment number or the channel's number, in full.")
    ordering = ("-created_at",)
    fields = (
        "dispute_no",
        "payment",
        "attempt",
        "merchant",
        "mode",
        "amount",
        "reason",
        "status",
        "is_inquiry",
        "evidence_due_by",
        "channel",
        "channel_dispute_no",
        "created_at",
        "updated_at",
        "closed_at",
    )


@admin.register(PaymentReview)
class PaymentReviewAdmin(ReadOnlyAdmin):
    why = word_column("code", _("reason"), ReviewCode)
    list_display = ("payment", "why", "subject", "text", "opened_at", "resolved_at", "resolved_by")
    list_filter = ("code", ("resolved_at", admin.EmptyFieldListFilter))
    list_select_related = ("payment",)
    search_fields = ("=payment__payment_no", "=subject")
    search_help_text = _("Payment number, or what it is about, in full.")
    ordering = ("-opened_at",)
    readonly_fields = ("why",)
    fields = ("payment", "why", "subject", "text", "opened_at", "resolved_at", "resolution", "resolved_by")


@admin.register(ChannelEvent)
class ChannelEventAdmin(ReadOnlyAdmin):
    outcome = word_column("effect", _("effect"), UpdateEffect)
    list_display = ("received_at", "channel", "type", "reference", "outcome", "event_id")
    readonly_fields = ("outcome",)
    fields = ("received_at", "channel", "type", "reference", "outcome", "event_id", "payload")
    search_fields = ("=reference", "=event_id")
    search_help_text = _("Payment number, refund number or the channel's event id, in full.")


@admin.register(RoutingRule)
class RoutingRuleAdmin(ReadOnlyAdmin):
    list_display = (
        "environment",
        "priority",
        "weight",
        "channel",
        "merchant",
        "currency",
        "min_amount_minor",
        "max_amount_minor",
        "is_active",
    )
    list_filter = ("environment", "is_active")
    list_select_related = ("merchant",)
    raw_id_fields = ("merchant",)
