"""Pages of settlements, for reading. `backoffice/settlement_admin.py` adds what staff do."""

from typing import Any

from django.contrib import admin
from django.utils.html import format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext_lazy as _

from common.admin import ReadOnlyAdmin, badge_column, label_column, money_column, money_text
from merchants.admin import EnvironmentFilter, environment_filter
from merchants.models import Environment
from settlements.case_details import describe_case_detail
from settlements.models import (
    ChannelFeeRate,
    SettlementCase,
    SettlementDay,
    StatementExpectation,
    StatementFile,
    StatementLine,
)

CASE_COLOURS = {"open": "danger", "asked": "warning", "resolved": "success"}
FILE_COLOURS = {"imported": "warning", "matched": "info", "posted": "success", "voided": "danger"}
LINE_COLOURS = {"new": "warning", "matched": "success", "in_case": "danger", "voided": "info"}
EXPECTATION_COLOURS = {"open": "info", "met": "success", "in_case": "danger"}


@admin.register(StatementFile)
class StatementFileAdmin(ReadOnlyAdmin):
    mode = label_column("environment", _("environment"), Environment)
    coloured_state = badge_column("state", _("state"), FILE_COLOURS)
    list_display = ("day", "channel", "mode", "format", "line_count", "coloured_state", "imported_at")
    list_filter = ("channel", "format", "state", EnvironmentFilter)
    search_fields = ("=sha256",)
    search_help_text = _("SHA-256 of the file, in full.")
    ordering = ("-id",)
    fields = (
        "day",
        "channel",
        "channel_account",
        "mode",
        "format",
        "name",
        "state",
        "line_count",
        "totals",
        "period_start",
        "period_end",
        "sha256",
        "imported_by",
        "imported_at",
        "void_requested_by",
        "void_reason",
        "void_approved_by",
        "voided_at",
    )


@admin.register(StatementLine)
class StatementLineAdmin(ReadOnlyAdmin):
    gross = money_column("gross_minor", _("gross"))
    fee = money_column("fee_minor", _("fee"))
    net = money_column("net_minor", _("net"))
    coloured_state = badge_column("state", _("state"), LINE_COLOURS)
    list_display = ("reference", "kind", "gross", "fee", "net", "channel_no", "coloured_state", "occurred_at")
    list_filter = ("kind", "state", environment_filter("file__environment"))
    search_fields = ("=reference", "=line_no", "=payout_no")
    search_help_text = _("Our number, the channel's number of the movement, or the payout, in full.")
    ordering = ("-id",)
    fields = (
        "file",
        "number",
        "kind",
        "gross",
        "fee",
        "net",
        "reference",
        "channel_no",
        "line_no",
        "payout_no",
        "occurred_at",
        "state",
        "match",
        "case",
        "posted_at",
        "raw",
    )


@admin.register(StatementExpectation)
class StatementExpectationAdmin(ReadOnlyAdmin):
    amount = money_column("amount_minor", _("amount"))
    mode = label_column("environment", _("environment"), Environment)
    coloured_state = badge_column("state", _("state"), EXPECTATION_COLOURS)
    list_display = (
        "reference",
        "kind",
        "amount",
        "channel",
        "mode",
        "coloured_state",
        "occurred_at",
        "expected_by",
    )
    list_filter = ("state", "channel", EnvironmentFilter)
    search_fields = ("=reference", "=channel_no")
    search_help_text = _("Our number or the channel's number, in full.")
    ordering = ("-entry_id",)
    fields = (
        "reference",
        "channel_no",
        "kind",
        "amount",
        "channel",
        "channel_account",
        "mode",
        "occurred_at",
        "expected_by",
        "state",
        "match",
        "case",
    )


@admin.register(SettlementDay)
class SettlementDayAdmin(ReadOnlyAdmin):
    """The picture of each channel and day: expected, reported, difference."""

    expected = money_column("expected_minor", _("expected"))
    reported = money_column("reported_minor", _("reported"))
    difference = money_column("difference_minor", _("difference"))
    fees = money_column("fee_minor", _("fees"))
    payouts = money_column("payout_minor", _("channel payouts"))
    mode = label_column("environment", _("environment"), Environment)
    list_display = (
        "day",
        "channel",
        "channel_account",
        "mode",
        "expected",
        "reported",
        "difference",
        "fees",
        "payouts",
        "line_count",
    )
    list_filter = ("channel", EnvironmentFilter)
    list_select_related = ("channel_account",)
    search_fields = ("=currency",)
    search_help_text = _("Currency, such as USD.")
    ordering = ("-id",)
    fields = list_display


@admin.register(SettlementCase)
class SettlementCaseAdmin(ReadOnlyAdmin):
    mode = label_column("environment", _("environment"), Environment)
    coloured_state = badge_column("state", _("state"), CASE_COLOURS)
    expected = money_column("expected_minor", _("expected"))
    list_display = (
        "reference",
        "kind",
        "expected",
        "reported",
        "channel",
        "mode",
        "coloured_state",
        "owner",
        "opened_at",
    )
    list_filter = ("state", "kind", "channel", EnvironmentFilter)
    saved_views = ((_("All"), ""), (_("Open"), "state__exact=open"))
    search_fields = ("=reference",)
    search_help_text = _("Our number or the channel's number, in full.")
    ordering = ("-id",)
    fields = (
        "reference",
        "kind",
        "expected",
        "reported",
        "details",
        "channel",
        "channel_account",
        "mode",
        "state",
        "owner",
        "reason",
        "write_off_requested_by",
        "resolution",
        "resolved_by",
        "resolved_at",
        "reversed_at",
        "opened_at",
    )

    @admin.display(description=_("reported"))
    def reported(self, row: Any) -> str:
        return money_text(row.reported_minor, row.reported_currency)

    @admin.display(description=_("detail"))
    def details(self, row: Any) -> SafeString:
        return format_html_join(
            mark_safe("<br>"), "{}", ((text,) for text in describe_case_detail(row.detail))
        )


@admin.register(ChannelFeeRate)
class ChannelFeeRateAdmin(ReadOnlyAdmin):
    fixed = money_column("fixed_minor", _("fixed amount"))
    mode = label_column("environment", _("environment"), Environment)
    list_display = ("channel", "mode", "kind", "rate_millionths", "fixed", "valid_from")
    list_filter = ("channel", EnvironmentFilter)
    search_fields = ("=currency",)
    search_help_text = _("Currency, such as USD.")
    ordering = ("-id",)
    fields = (
        "channel",
        "channel_account",
        "mode",
        "kind",
        "currency",
        "rate_millionths",
        "fixed",
        "valid_from",
    )
