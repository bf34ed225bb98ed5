"""The list and page of channel accounts. Changed by services; the back office adds the operations."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from channel_accounts.models import AccountStatus, StoredChannelAccount
from channels.registry import list_channel_names
from common.admin import ReadOnlyAdmin, badge_column, known_values_filter
from merchants.admin import EnvironmentFilter


@admin.register(StoredChannelAccount)
class ChannelAccountAdmin(ReadOnlyAdmin):
    coloured_status = badge_column(
        "status", _("status"), {AccountStatus.ACTIVE: "success", AccountStatus.DISABLED: "danger"}
    )
    list_display = (
        "display_name",
        "channel",
        "kind",
        "account_no",
        "environment",
        "merchant",
        "coloured_status",
        "disabled_reason",
        "last_check_result",
        "last_checked_at",
        "created_at",
    )
    list_filter = (
        "status",
        known_values_filter("channel", _("channel"), list_channel_names),
        EnvironmentFilter,
    )
    list_select_related = ("merchant",)
    search_fields = ("=id", "=webhook_token", "=merchant__email")
    search_help_text = _("Account id, webhook token or the merchant's e-mail, in full.")
    exclude = ("sealed_credentials", "previous_sealed_credentials")
    readonly_fields = ("webhook_token", "created_at", "updated_at")
