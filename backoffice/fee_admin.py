"""The pages of fee plans and merchants' statements. Staff request changes of plans; a second person approves them."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.http import HttpResponseBase
from django.shortcuts import redirect
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.action_types import ObjectType, StaffActionType
from audit.recording import recording
from backoffice.actions.admin import ActionsAdmin
from backoffice.actions.declaration import ActionTarget, AdminAction, ReasonForm
from backoffice.approvals import fee_plans
from backoffice.fee_forms import AssignPlanForm, NewVersionForm, describe_examples, describe_rate
from common.admin import ReadOnlyAdmin, badge_column, label_column, money_column
from fees.formula import RefundRule, Terms
from fees.models import (
    FeePlanAssignment,
    FeePlanChange,
    FeePlanChangeState,
    FeePlanVersion,
    MerchantStatement,
)
from fees.statement_files import send_csv, send_pdf
from merchants.admin import EnvironmentFilter, MerchantFilter
from merchants.models import Environment
from staff.roles import Permission

COLOURS = {"pending": "warning", "approved": "success", "rejected": "danger"}


def _request_version(actor: User, _row: None, data: dict[str, Any]) -> HttpResponseBase:
    terms = Terms(data.pop("rates"), RefundRule(data.pop("refund_rule")))
    change = fee_plans.request_version(terms=terms, actor=actor.get_username(), **data)
    return redirect("admin:fees_feeplanchange_change", change.pk)


def _request_assignment(actor: User, _row: None, data: dict[str, Any]) -> HttpResponseBase:
    change = fee_plans.request_assignment(actor=actor.get_username(), **data)
    return redirect("admin:fees_feeplanchange_change", change.pk)


def _approve(actor: User, change: FeePlanChange, data: dict[str, Any]) -> None:
    fee_plans.approve(change_id=change.pk, actor=actor.get_username(), reason=data["reason"])


def _reject(actor: User, change: FeePlanChange, data: dict[str, Any]) -> None:
    fee_plans.reject(change_id=change.pk, actor=actor.get_username(), reason=data["reason"])


def _find_obstacle(change: FeePlanChange) -> str:
    if change.state == FeePlanChangeState.PENDING:
        return ""
    return _("This approval has been decided already.")


def _show_terms(terms: dict[str, Any] | None) -> SafeString | str:
    """Each rate with what payments cost by it: the dry run of a change."""
    if terms is None:
        return ""
    read = Terms.from_json(terms)
    lines = [(describe_rate(rate), describe_examples(rate)) for rate in read.rates]
    return format_html(
        "{}{}", format_html_join("", "<samp>{}</samp><br>{}<br>", lines), str(read.refund_rule.label)
    )


@admin.register(FeePlanChange)
class FeePlanChangeAdmin(ActionsAdmin):
    coloured_state = badge_column("state", gettext_lazy("state"), COLOURS)
    list_display = (
        "requested_at",
        "plan_name",
        "merchant",
        "coloured_state",
        "valid_from",
        "requested_by",
        "decided_by",
    )
    list_filter = ("state",)
    list_select_related = ("merchant",)
    search_fields = ("=plan_name", "=merchant__email")
    ordering = ("-id",)
    fields = readonly_fields = (
        "plan_name",
        "merchant",
        "rates",
        "valid_from",
        "state",
        "reason",
        "requested_by",
        "requested_at",
        "decided_by",
        "decided_at",
    )

    @admin.display(description=gettext_lazy("rates and examples"))
    def rates(self, change: FeePlanChange) -> SafeString | str:
        return _show_terms(change.terms)

    staff_actions = (
        AdminAction(
            "version",
            gettext_lazy("New version of a fee plan"),
            gettext_lazy(
                "Takes effect when a second person approves it. Its page shows what payments would cost."
            ),
            Permission.MANAGE_FEES,
            _request_version,
            NewVersionForm,
            target=ActionTarget.LIST,
        ),
        AdminAction(
            "assign",
            gettext_lazy("Assign a fee plan"),
            gettext_lazy("Takes effect when a second person approves it."),
            Permission.MANAGE_FEES,
            _request_assignment,
            AssignPlanForm,
            target=ActionTarget.LIST,
        ),
        AdminAction(
            "approve",
            gettext_lazy("Approve"),
            gettext_lazy("Payments that begin from its time on have these fees. It cannot be edited later."),
            Permission.MANAGE_FEES,
            _approve,
            find_obstacle=_find_obstacle,
        ),
        AdminAction(
            "reject",
            gettext_lazy("Reject"),
            gettext_lazy("Nothing changes."),
            Permission.MANAGE_FEES,
            _reject,
            find_obstacle=_find_obstacle,
        ),
    )


@admin.register(FeePlanVersion)
class FeePlanVersionAdmin(ReadOnlyAdmin):
    list_display = ("plan", "number", "valid_from", "created_at")
    list_select_related = ("plan",)
    search_fields = ("=plan__name",)
    ordering = ("-id",)
    fields = readonly_fields = ("plan", "number", "rates", "valid_from", "created_at")

    @admin.display(description=gettext_lazy("rates and examples"))
    def rates(self, version: FeePlanVersion) -> SafeString | str:
        return _show_terms(version.terms)


@admin.register(FeePlanAssignment)
class FeePlanAssignmentAdmin(ReadOnlyAdmin):
    list_display = ("merchant", "plan", "valid_from", "created_at")
    list_select_related = ("merchant", "plan")
    search_fields = ("=merchant__email", "=plan__name")
    ordering = ("-id",)
    fields = readonly_fields = ("merchant", "plan", "valid_from", "created_at")


class StatementDownloadForm(ReasonForm):
    file = forms.ChoiceField(label=gettext_lazy("File"), choices=[("pdf", "PDF"), ("csv", "CSV")])


def _download(actor: User, statement: MerchantStatement, data: dict[str, Any]) -> HttpResponseBase:
    with recording(
        StaffActionType.STATEMENT_DOWNLOADED,
        ObjectType.MERCHANT,
        statement.merchant_id,
        actor=actor.get_username(),
        reason=data["reason"],
    ) as entry:
        entry.after = {"statement": str(statement.id), "file": data["file"]}
    return send_pdf(statement) if data["file"] == "pdf" else send_csv(statement)


@admin.register(MerchantStatement)
class MerchantStatementAdmin(ActionsAdmin):
    mode = label_column("environment", gettext_lazy("environment"), Environment)
    opening = money_column("opening_minor", gettext_lazy("opening balance"))
    payments = money_column("payments_minor", gettext_lazy("payments"))
    refunds = money_column("refunds_minor", gettext_lazy("refunds"))
    disputes = money_column("disputes_minor", gettext_lazy("disputes"))
    charged = money_column("fees_minor", gettext_lazy("fees"))
    other = money_column("other_minor", gettext_lazy("other"))
    closing = money_column("closing_minor", gettext_lazy("closing balance"))
    list_display = ("first_day", "period", "merchant", "currency", "mode", "opening", "charged", "closing")
    list_filter = ("period", EnvironmentFilter, MerchantFilter)
    list_select_related = ("merchant",)
    search_fields = ("=merchant__email",)
    ordering = ("-id",)
    fields = readonly_fields = (
        "merchant",
        "period",
        "first_day",
        "last_day",
        "currency",
        "mode",
        "opening",
        "payments",
        "refunds",
        "disputes",
        "charged",
        "other",
        "closing",
        "transaction_count",
        "csv_digest",
        "close_digest",
        "created_at",
    )
    staff_actions = (
        AdminAction(
            "download",
            gettext_lazy("Download"),
            gettext_lazy("The download is recorded in the audit log with your name."),
            Permission.EXPORT,
            _download,
            StatementDownloadForm,
        ),
    )
