"""Pages of responses to disputes, evidence files and suspense items, for reading."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from common.admin import FlatInline, ReadOnlyAdmin, badge_column, money_column
from gateway.models import DisputeResponse, EvidenceFile, SuspenseItem
from merchants.admin import environment_filter

RESPONSE_COLOURS = {"draft": "info", "submitting": "warning", "submitted": "success", "failed": "danger"}
SUSPENSE_COLOURS = {"open": "danger", "booked": "success", "returned": "success", "charged": "warning"}


class EvidenceInline(FlatInline):
    model = EvidenceFile
    fields = readonly_fields = ("field", "original_name", "content_type", "size_bytes", "page_count")
    ordering = ("field",)
    show_change_link = True


@admin.register(DisputeResponse)
class DisputeResponseAdmin(ReadOnlyAdmin):
    coloured_status = badge_column("status", _("status"), RESPONSE_COLOURS)
    list_display = ("dispute", "kind", "coloured_status", "submitted_by", "created_at", "submitted_at")
    list_filter = ("status", "kind", environment_filter("dispute__environment"))
    list_select_related = ("dispute",)
    search_fields = ("=dispute__dispute_no",)
    search_help_text = _("Dispute number, in full.")
    ordering = ("-id",)
    fields = (
        "dispute",
        "kind",
        "status",
        "texts",
        "submitted_by",
        "failure_code",
        "failure_message",
        "saga_id",
        "created_at",
        "submitted_at",
    )
    inlines = (EvidenceInline,)


@admin.register(EvidenceFile)
class EvidenceFileAdmin(ReadOnlyAdmin):
    list_display = ("original_name", "response", "field", "content_type", "size_bytes", "uploaded_by")
    list_filter = ("field", environment_filter("response__dispute__environment"))
    list_select_related = ("response",)
    search_fields = ("=sha256",)
    search_help_text = _("Checksum of the file, in full.")
    ordering = ("-id",)
    fields = (
        "response",
        "field",
        "original_name",
        "content_type",
        "size_bytes",
        "page_count",
        "sha256",
        "uploaded_by",
        "created_at",
    )


@admin.register(SuspenseItem)
class SuspenseItemAdmin(ReadOnlyAdmin):
    """An amount that a channel took beyond its payment. It is charged to the merchant on the payment's page."""

    amount = money_column("amount_minor", _("amount"))
    coloured_status = badge_column("status", _("status"), SUSPENSE_COLOURS)
    list_display = ("payment", "amount", "channel", "channel_refund_no", "coloured_status", "opened_at")
    list_filter = ("status", "channel", environment_filter("payment__environment"))
    saved_views = ((_("All"), ""), (_("In suspense"), "status__exact=open"))
    list_select_related = ("payment",)
    search_fields = ("=payment__payment_no",)
    search_help_text = _("Payment number, in full.")
    ordering = ("-id",)
    fields = (
        "payment",
        "attempt",
        "refund",
        "amount",
        "channel",
        "channel_account",
        "channel_refund_no",
        "status",
        "opened_at",
        "released_at",
    )
