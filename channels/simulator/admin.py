from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from channels.simulator.models import (
    CallCount,
    LedgerEntry,
    Notification,
    SimulatedDispute,
    SimulatedEvidenceFile,
    SimulatedPayment,
    SimulatedRefund,
)
from common.admin import ReadOnlyAdmin, ReadOnlyInline


class SimulatedRefundInline(ReadOnlyInline):
    model = SimulatedRefund
    fields = ("reference", "state", "amount", "currency", "failure_code", "created_at")
    readonly_fields = fields


@admin.register(SimulatedPayment)
class SimulatedPaymentAdmin(ReadOnlyAdmin):
    list_display = ("reference", "state", "amount", "captured", "refunded", "currency", "created_at")
    list_filter = ("state",)
    search_fields = ("=reference", "=channel_trade_no")
    ordering = ("-created_at",)
    exclude = ("token",)
    inlines = (SimulatedRefundInline,)


@admin.register(SimulatedRefund)
class SimulatedRefundAdmin(ReadOnlyAdmin):
    list_display = ("reference", "payment", "state", "amount", "currency", "failure_code", "created_at")
    list_filter = ("state",)
    search_fields = ("=reference", "=channel_refund_no", "=payment__reference")
    ordering = ("-created_at",)


@admin.register(SimulatedDispute)
class SimulatedDisputeAdmin(ReadOnlyAdmin):
    list_display = (
        "channel_dispute_no",
        "payment",
        "stage",
        "state",
        "amount",
        "currency",
        "evidence_due_by",
    )
    list_filter = ("state",)
    search_fields = ("=channel_dispute_no", "=payment__reference")
    ordering = ("-created_at",)


@admin.register(SimulatedEvidenceFile)
class SimulatedEvidenceFileAdmin(ReadOnlyAdmin):
    list_display = ("channel_file_no", "dispute", "name", "size_bytes", "created_at")
    search_fields = ("=channel_file_no", "=dispute__channel_dispute_no")
    ordering = ("-created_at",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Joins the payment, which has the environment, without the token that opens the payment page."""
        rows = super().get_queryset(request)
        return rows.select_related("dispute__payment").defer("dispute__payment__token")


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnlyAdmin):
    list_display = ("at", "kind", "reference", "refund_reference", "amount", "currency", "key")
    list_filter = ("kind",)
    search_fields = ("=reference", "=refund_reference", "=key")


@admin.register(Notification)
class NotificationAdmin(ReadOnlyAdmin):
    list_display = ("event_id", "event_type", "reference", "attempts", "due_at", "delivered_at", "last_error")
    list_filter = ("event_type",)
    search_fields = ("=event_id", "=reference")
    ordering = ("-created_at",)


@admin.register(CallCount)
class CallCountAdmin(ReadOnlyAdmin):
    list_display = ("operation", "key", "calls")
    search_fields = ("=key",)
