"""What staff do with settlement cases, and the agreed fees that they add."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backoffice.actions.admin import ActionsAdmin
from backoffice.actions.declaration import AdminAction, ReasonForm, Scope
from backoffice.approvals.approvers import find_approver_conflict
from channels.registry import list_channel_names
from merchants.models import Environment
from settlements.admin import ChannelFeeRateAdmin, SettlementCaseAdmin
from settlements.models import CaseState, ChannelFeeRate, LineKind, SettlementCase
from settlements.services import cases, fee_rates
from staff.roles import Permission

admin.site.unregister([SettlementCase, ChannelFeeRate])


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
            gettext_lazy("Ask the channel"),
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


class FeeRateForm(ReasonForm):
    channel = forms.ChoiceField(
        label=gettext_lazy("Channel"), choices=lambda: [(name, name) for name in list_channel_names()]
    )
    environment = forms.ChoiceField(label=gettext_lazy("Environment"), choices=Environment.choices)
    channel_account = forms.UUIDField(
        label=gettext_lazy("Channel account"),
        help_text=gettext_lazy("Its id. Empty: the platform's own account."),
        required=False,
    )
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
            scope=Scope.LIST,
        ),
    )
