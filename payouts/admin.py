"""Pages of payouts, for reading. The back office adds the actions (backoffice/payout_*.py)."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from common.admin import FlatInline, ReadOnlyAdmin, badge_column, label_column, money_column
from common.admin_lists import CreatedFilter
from merchants.admin import EnvironmentFilter, MerchantFilter
from merchants.models import Environment
from payouts.models import BankAccount, Payout, PayoutPlan, PayoutRun

PAYOUT_COLOURS = {
    "pending": "info",
    "in_transit": "info",
    "paid": "success",
    "failed": "danger",
    "returned": "danger",
    "canceled": "warning",
}
RUN_COLOURS = {
    "awaiting_approval": "warning",
    "approved": "info",
    "sent": "success",
    "canceled": "danger",
}
ACCOUNT_COLOURS = {
    "awaiting_approval": "warning",
    "active": "success",
    "replaced": "info",
    "rejected": "danger",
}


class PayoutInline(FlatInline):
    model = Payout
    amount = money_column("amount_minor", _("amount"))
    fields = readonly_fields = ("payout_no", "merchant", "amount", "bank_account", "status", "failure_code")
    ordering = ("id",)


@admin.register(PayoutRun)
class PayoutRunAdmin(ReadOnlyAdmin):
    mode = label_column("environment", _("environment"), Environment)
    coloured_status = badge_column("status", _("status"), RUN_COLOURS)
    list_display = (
        "run_no",
        "currency",
        "mode",
        "coloured_status",
        "requested_by",
        "decided_by",
        "created_at",
    )
    list_filter = ("status", EnvironmentFilter)
    search_fields = ("=run_no",)
    ordering = ("-id",)
    fields = (
        "run_no",
        "status",
        "mode",
        "currency",
        "requested_by",
        "decided_by",
        "decided_at",
        "failure_code",
        "failure_message",
        "sent_at",
        "created_at",
    )
    inlines = (PayoutInline,)


@admin.register(Payout)
class PayoutAdmin(ReadOnlyAdmin):
    mode = label_column("environment", _("environment"), Environment)
    amount = money_column("amount_minor", _("amount"))
    payable = money_column("payable_minor", _("payable"))
    return_fee = money_column("return_fee_minor", _("fee of the return"))
    coloured_status = badge_column("status", _("status"), PAYOUT_COLOURS)
    list_display = ("payout_no", "merchant", "amount", "mode", "coloured_status", "created_at", "sent_at")
    list_filter = ("status", EnvironmentFilter, MerchantFilter, CreatedFilter)
    list_select_related = ("merchant",)
    search_fields = ("=payout_no",)
    ordering = ("-id",)
    fields = (
        "payout_no",
        "run",
        "merchant",
        "mode",
        "amount",
        "payable",
        "bank_account",
        "status",
        "failure_code",
        "failure_message",
        "return_fee",
        "claimed_outcome",
        "claimed_by",
        "confirmed_by",
        "bank_reference",
        "arrival_date",
        "created_at",
        "sent_at",
        "settled_at",
    )


@admin.register(BankAccount)
class BankAccountAdmin(ReadOnlyAdmin):
    mode = label_column("environment", _("environment"), Environment)
    coloured_status = badge_column("status", _("status"), ACCOUNT_COLOURS)
    list_display = ("merchant", "currency", "hint", "mode", "coloured_status", "usable_from", "requested_at")
    list_filter = ("status", EnvironmentFilter, MerchantFilter)
    list_select_related = ("merchant",)
    search_fields = ("=merchant__email",)
    ordering = ("-id",)
    fields = (
        "merchant",
        "mode",
        "currency",
        "kind",
        "hint",
        "status",
        "requested_by",
        "requested_at",
        "decided_by",
        "decided_at",
        "usable_from",
    )


@admin.register(PayoutPlan)
class PayoutPlanAdmin(ReadOnlyAdmin):
    mode = label_column("environment", _("environment"), Environment)
    list_display = ("merchant", "mode", "schedule", "hold_days", "day_count", "reserve_basis_points")
    list_filter = ("schedule", EnvironmentFilter)
    list_select_related = ("merchant",)
    search_fields = ("=merchant__email",)
    ordering = ("-id",)
    fields = (
        "merchant",
        "mode",
        "hold_days",
        "day_count",
        "time_zone",
        "reserve_basis_points",
        "reserve_days",
        "minimum_minor",
        "schedule",
        "schedule_day",
        "last_scheduled_on",
        "created_at",
        "updated_at",
    )
