"""Columns and filters that several pages share."""

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from common.admin import ReadOnlyAdmin, badge_column, label_column, money_column
from gateway.models import Payment, Refund
from merchants.models import Environment

COLOURS = {
    "pending": "info",
    "processing": "info",
    "authorized": "info",
    "succeeded": "success",
    "failed": "danger",
    "cancelled": "warning",
    "expired": "warning",
}


class MoneyAdmin(ReadOnlyAdmin):
    """The columns that payments and refunds share."""

    amount = money_column("amount_minor", _("amount"))
    coloured_status = badge_column("status", _("status"), COLOURS)
    mode = label_column("environment", _("environment"), Environment)

    @admin.display(description=_("saga"))
    def sagas(self, row: Payment | Refund) -> SafeString:
        """The saga that created the row has its id; later sagas have its number."""
        return format_html(
            '<a class="text-link" href="{}">{}</a> · <a class="text-link" href="{}?q={}">{}</a>',
            reverse("admin:sagas_sagainstance_change", args=[row.pk]),
            _("the saga that made it"),
            reverse("admin:sagas_sagainstance_changelist"),
            row,
            _("all sagas of this payment"),
        )
