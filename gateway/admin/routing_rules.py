"""Pages of routing rules."""

from common.admin import ReadOnlyAdmin
from merchants.admin import EnvironmentFilter


class RoutingRuleAdmin(ReadOnlyAdmin):
    """Registered by the back office, which adds operations (`backoffice/routing_admin.py`)."""

    list_display = (
        "environment",
        "priority",
        "weight",
        "strategy",
        "channel",
        "channel_account",
        "merchant",
        "payment_method",
        "currency",
        "min_amount_minor",
        "max_amount_minor",
        "country",
        "card_brand",
        "card_bin",
        "is_active",
    )
    list_filter = (EnvironmentFilter, "is_active")
    list_select_related = ("merchant", "channel_account")
    raw_id_fields = ("merchant", "channel_account")
