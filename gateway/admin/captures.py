"""Pages of captures and authorization increments."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from common.admin import ReadOnlyAdmin, badge_column
from gateway.models import AuthorizationIncrement, Capture
from merchants.admin import environment_filter

payment_environment_filter = environment_filter("payment__environment")
COLOURS = {"pending": "info", "succeeded": "success", "failed": "danger"}


@admin.register(Capture)
class CaptureAdmin(ReadOnlyAdmin):
    coloured_status = badge_column("status", _("status"), COLOURS)
    list_display = ("payment", "number", "amount_minor", "coloured_status", "is_final", "created_at")
    list_filter = ("status", "is_final", "is_made_at_channel", payment_environment_filter)
    list_select_related = ("payment",)
    search_fields = ("=payment__payment_no",)
    ordering = ("-id",)


@admin.register(AuthorizationIncrement)
class AuthorizationIncrementAdmin(ReadOnlyAdmin):
    coloured_status = badge_column("status", _("status"), COLOURS)
    list_display = ("payment", "number", "previous_minor", "amount_minor", "coloured_status", "created_at")
    list_filter = ("status", payment_environment_filter)
    list_select_related = ("payment",)
    search_fields = ("=payment__payment_no", "=reference")
    ordering = ("-id",)
