"""Pages of the ledger, for reading."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from common.admin import FlatInline, ReadOnlyAdmin, label_column, money_column, money_text
from common.admin_lists import CreatedFilter
from ledger.models import DailyClose, LedgerTransfer, TransferEntry
from merchants.admin import EnvironmentFilter, MerchantFilter
from merchants.models import Environment


class EntryInline(FlatInline):
    model = TransferEntry
    fields = ("leg", "account", "phase", "debit", "credit")
    readonly_fields = fields
    ordering = ("leg",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("account")

    @admin.display(description=_("debit"))
    def debit(self, row: TransferEntry) -> str:
        return money_text(row.amount_minor, row.account.currency) if row.direction == "debit" else ""

    @admin.display(description=_("credit"))
    def credit(self, row: TransferEntry) -> str:
        return money_text(row.amount_minor, row.account.currency) if row.direction == "credit" else ""


@admin.register(LedgerTransfer)
class LedgerTransferAdmin(ReadOnlyAdmin):
    mode = label_column("environment", _("environment"), Environment)
    list_display = ("source", "event", "kind", "currency", "merchant", "mode", "day", "created_at")
    list_filter = ("event", "kind", EnvironmentFilter, MerchantFilter, CreatedFilter)
    list_select_related = ("merchant",)
    search_fields = ("=payment_id", "=subject_id")
    search_help_text = _("Id of the payment, attempt, refund, dispute or payout, in full.")
    ordering = ("-id",)
    fields = (
        "source",
        "event",
        "sequence",
        "kind",
        "pending",
        "merchant",
        "mode",
        "currency",
        "payment_id",
        "subject_id",
        "is_opening",
        "day",
        "created_at",
    )
    inlines = (EntryInline,)


@admin.register(DailyClose)
class DailyCloseAdmin(ReadOnlyAdmin):
    mode = label_column("environment", _("environment"), Environment)
    posted = money_column("posted_minor", _("posted"))
    list_display = ("day", "currency", "mode", "transfer_count", "posted", "closed_at")
    list_filter = (EnvironmentFilter,)
    search_fields = ("=currency",)
    ordering = ("-id",)
    fields = (
        "day",
        "currency",
        "mode",
        "transfer_count",
        "posted",
        "entries_digest",
        "previous_digest",
        "chain_digest",
        "signature",
        "key_id",
        "closed_at",
    )
