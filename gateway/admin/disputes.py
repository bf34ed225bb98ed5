"""Pages of disputes."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from common.admin import ReadOnlyAdmin, badge_column, label_column, money_column
from common.admin_lists import CreatedFilter
from gateway.models import Dispute
from merchants.admin import EnvironmentFilter, MerchantFilter
from merchants.models import Environment

DISPUTE_COLOURS = {"needs_response": "danger", "under_review": "warning", "won": "success", "lost": "danger"}


@admin.register(Dispute)
class DisputeAdmin(ReadOnlyAdmin):
    amount = money_column("amount_minor", _("amount"))
    coloured_status = badge_column("status", _("status"), DISPUTE_COLOURS)
    mode = label_column("environment", _("environment"), Environment)
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
    list_filter = ("status", "stage", "reason", EnvironmentFilter, MerchantFilter, CreatedFilter)
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
        "channel_reason",
        "status",
        "stage",
        "blocked_minor",
        "suspense_minor",
        "evidence_due_by",
        "channel",
        "channel_dispute_no",
        "created_at",
        "updated_at",
        "closed_at",
    )
