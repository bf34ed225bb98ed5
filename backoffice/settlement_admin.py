"""The pages of settlement statements, settlement cases and agreed fees, with their actions."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backoffice.actions.admin import ActionsAdmin
from backoffice.actions.declaration import ActionTarget, AdminAction, Performed, ReasonForm, Result
from backoffice.approvals.approvers import find_approver_conflict
from channels.registry import list_channel_names
from merchants.models import Environment
from settlements.admin import ChannelFeeRateAdmin, SettlementCaseAdmin, StatementFileAdmin
from settlements.models import (
    CaseKind,
    CaseState,
    ChannelFeeRate,
    FileState,
    LineKind,
    SettlementCase,
    StatementFile,
    StatementFormat,
)
from settlements.parsers.base import StatementIdentity
from settlements.services import cases, fee_rates, uploading, voiding
from staff.roles import Permission

admin.site.unregister([SettlementCase, ChannelFeeRate, StatementFile])

# A request has at most 4 MiB (payment_platform/web_worker.py).
MAX_UPLOAD_BYTES = 3 * 1024 * 1024 + 512 * 1024


# --- statements


class _ChannelAccountForm(ReasonForm):
    channel = forms.ChoiceField(
        label=gettext_lazy("Channel"), choices=lambda: [(name, name) for name in list_channel_names()]
    )
    environment = forms.ChoiceField(label=gettext_lazy("Environment"), choices=Environment.choices)
    channel_account = forms.UUIDField(
        label=gettext_lazy("Channel account"),
        help_text=gettext_lazy("Its id. Empty: the platform's own account."),
        required=False,
    )


class UploadForm(_ChannelAccountForm):
    format = forms.ChoiceField(label=gettext_lazy("Format"), choices=StatementFormat.choices)
    day = forms.DateField(label=gettext_lazy("Day"), help_text=gettext_lazy("In the channel's time zone."))
    file = forms.FileField(
        label=gettext_lazy("File"),
        max_length=255,
        help_text=gettext_lazy("At most 3.5 MiB. For a larger one, use manage.py import_statement."),
    )

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > MAX_UPLOAD_BYTES:
            raise forms.ValidationError(_("The file is too large: use manage.py import_statement."))
        return file


def _upload(actor: User, _row: None, data: dict[str, Any]) -> Result:
    identity = StatementIdentity(data["channel"], data["environment"], data["channel_account"], data["day"])
    imported = uploading.upload_statement(
        file=data["file"],
        name=data["file"].name,
        format=StatementFormat(data["format"]),
        identity=identity,
        actor=actor.get_username(),
        reason=data["reason"],
    )
    return redirect("admin:settlements_statementfile_change", imported.file.id)


def _request_void(actor: User, file: StatementFile, data: dict[str, Any]) -> None:
    voiding.request_void(file_id=file.id, actor=actor.get_username(), reason=data["reason"])


def _approve_void(actor: User, file: StatementFile, data: dict[str, Any]) -> Result:
    voiding.approve_void(
        file_id=file.id, actor=actor.get_username(), reason=data["reason"], find_conflict=_find_conflict
    )
    return Performed(_("Approved. The statement is voided within a minute: reload this page."))


def _find_void_obstacle(file: StatementFile) -> str:
    return _("This statement is voided.") if file.state == FileState.VOIDED or file.void_approved_by else ""


def _find_void_approval_obstacle(file: StatementFile) -> str:
    if not file.void_requested_by and file.state != FileState.VOIDED:
        return _("Nobody has requested to void this statement.")
    return _find_void_obstacle(file)


def _list_void_facts(file: StatementFile) -> list[tuple[str, str]]:
    facts = [
        (_("Statement"), f"{file.channel} {file.day} {file.get_format_display()}"),
        (_("Lines"), str(file.line_count)),
        (_("Cases with its lines"), str(file.lines.exclude(case=None).values("case").distinct().count())),
    ]
    if file.void_requested_by:
        facts += [(_("Requested by"), file.void_requested_by), (_("Reason"), file.void_reason)]
    return facts


@admin.register(StatementFile)
class StatementFilePageAdmin(ActionsAdmin, StatementFileAdmin):  # type: ignore[misc]  # unfold's mixins
    staff_actions = (
        AdminAction(
            "upload",
            gettext_lazy("Import a statement"),
            gettext_lazy(
                "The whole file is imported, or nothing of it. A worker compares its lines with the ledger next."
            ),
            Permission.SETTLE,
            _upload,
            UploadForm,
            target=ActionTarget.LIST,
        ),
        AdminAction(
            "void",
            gettext_lazy("Request to void"),
            gettext_lazy("For a wrong file, day or account. A second person must approve it."),
            Permission.SETTLE,
            _request_void,
            find_obstacle=_find_void_obstacle,
            list_facts=_list_void_facts,
        ),
        AdminAction(
            "approve-void",
            gettext_lazy("Approve to void"),
            gettext_lazy(
                "What the statement posted is reversed, its cases are closed, and what it has met is expected again."
                " It cannot be undone; the same file can be imported again."
            ),
            Permission.APPROVE,
            _approve_void,
            find_obstacle=_find_void_approval_obstacle,
            list_facts=_list_void_facts,
            is_destructive=True,
        ),
    )


# --- cases


def _find_obstacle(case: SettlementCase) -> str:
    return _("The case is resolved.") if case.state == CaseState.RESOLVED else ""


def _find_write_off_obstacle(case: SettlementCase) -> str:
    if not case.write_off_requested_by and case.state != CaseState.RESOLVED:
        return _("Nobody has requested to write this case off.")
    return _find_obstacle(case)


def _take(actor: User, case: SettlementCase, data: dict[str, Any]) -> None:
    cases.take_case(case_id=case.id, actor=actor.get_username(), **data)


def _ask(actor: User, case: SettlementCase, data: dict[str, Any]) -> None:
    cases.ask_channel(case_id=case.id, actor=actor.get_username(), **data)


def _book(actor: User, case: SettlementCase, data: dict[str, Any]) -> None:
    cases.book_case(case_id=case.id, actor=actor.get_username(), **data)


def _dismiss(actor: User, case: SettlementCase, data: dict[str, Any]) -> None:
    cases.dismiss_case(case_id=case.id, actor=actor.get_username(), **data)


def _find_dismiss_obstacle(case: SettlementCase) -> str:
    if case.kind != CaseKind.DUPLICATE_LINE:
        return _("Only a line that is reported more often than expected can be dismissed.")
    return _find_obstacle(case)


def _request_write_off(actor: User, case: SettlementCase, data: dict[str, Any]) -> None:
    cases.request_write_off(case_id=case.id, actor=actor.get_username(), **data)


def _find_conflict(approver: str, requester: str) -> str:
    return find_approver_conflict(approver=approver, requester=requester)


def _approve_write_off(actor: User, case: SettlementCase, data: dict[str, Any]) -> None:
    cases.approve_write_off(case_id=case.id, actor=actor.get_username(), find_conflict=_find_conflict, **data)


@admin.register(SettlementCase)
class SettlementCasePageAdmin(ActionsAdmin, SettlementCaseAdmin):  # type: ignore[misc]  # unfold's mixins
    staff_actions = (
        AdminAction(
            "take",
            gettext_lazy("Take the case"),
            gettext_lazy("You become its owner."),
            Permission.SETTLE,
            _take,
            find_obstacle=_find_obstacle,
        ),
        AdminAction(
            "ask",
            gettext_lazy("Contact the channel"),
            gettext_lazy("The case waits for the channel's answer. Write down what you asked."),
            Permission.SETTLE,
            _ask,
            find_obstacle=_find_obstacle,
        ),
        AdminAction(
            "book",
            gettext_lazy("Book as reported"),
            gettext_lazy("The ledger follows the statement; the difference goes to the account Suspense."),
            Permission.SETTLE,
            _book,
            find_obstacle=_find_obstacle,
            is_destructive=True,
        ),
        AdminAction(
            "dismiss",
            gettext_lazy("Dismiss"),
            gettext_lazy("The channel reports it twice, and the money moved once. Nothing is posted."),
            Permission.SETTLE,
            _dismiss,
            find_obstacle=_find_dismiss_obstacle,
        ),
        AdminAction(
            "write-off",
            gettext_lazy("Request write-off"),
            gettext_lazy("A second person must approve it. Nothing is posted before."),
            Permission.SETTLE,
            _request_write_off,
            find_obstacle=_find_obstacle,
        ),
        AdminAction(
            "approve-write-off",
            gettext_lazy("Approve write-off"),
            gettext_lazy("The difference becomes a loss, or a gain. It cannot be undone."),
            Permission.APPROVE,
            _approve_write_off,
            find_obstacle=_find_write_off_obstacle,
            is_destructive=True,
        ),
    )


# --- agreed fees


class FeeRateForm(_ChannelAccountForm):
    kind = forms.ChoiceField(
        label=gettext_lazy("Kind"),
        choices=[(kind.value, kind.label) for kind in (LineKind.PAYMENT, LineKind.REFUND)],
    )
    currency = forms.RegexField("^[A-Z]{3}$", label=gettext_lazy("Currency"))
    rate_millionths = forms.IntegerField(
        label=gettext_lazy("Rate in millionths"),
        help_text=gettext_lazy("29,000 is 2.9%."),
        min_value=0,
        max_value=1_000_000,
    )
    fixed_minor = forms.IntegerField(
        label=gettext_lazy("Fixed amount in minor units"), min_value=0, max_value=10**9, initial=0
    )
    valid_from = forms.DateField(label=gettext_lazy("Valid from"))


def _add_rate(actor: User, _row: None, data: dict[str, Any]) -> None:
    fee_rates.add_fee_rate(actor=actor.get_username(), **data)


@admin.register(ChannelFeeRate)
class ChannelFeeRatePageAdmin(ActionsAdmin, ChannelFeeRateAdmin):  # type: ignore[misc]
    staff_actions = (
        AdminAction(
            "new",
            gettext_lazy("New agreed fee"),
            gettext_lazy(
                "Lines from its first day on are compared with it. A rate cannot be edited: add another."
            ),
            Permission.SETTLE,
            _add_rate,
            FeeRateForm,
            target=ActionTarget.LIST,
        ),
    )
