from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from common.admin import ReadOnlyAdmin, badge_column, money_column
from ops.approvals.models import Approval

COLOURS = {"pending": "warning", "approved": "success", "rejected": "danger", "stale": "info"}


@admin.register(Approval)
class ApprovalAdmin(ReadOnlyAdmin):
    amount = money_column("amount_minor", _("amount"))
    coloured_state = badge_column("state", _("state"), COLOURS)
    list_display = (
        "requested_at",
        "operation",
        "business_id",
        "amount",
        "coloured_state",
        "requested_by",
        "decided_by",
    )
    list_filter = ("state",)
    search_fields = ("=saga_id", "=business_id", "=requested_by")
    search_help_text = _("Saga id, business id or name of the person, in full.")
    ordering = ("-id",)
    readonly_fields = ("requested_at",)
