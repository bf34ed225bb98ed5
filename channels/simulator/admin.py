from django.contrib import admin

from channels.simulator.models import CallCount, LedgerEntry, Notification, SimulatedPayment, SimulatedRefund
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
