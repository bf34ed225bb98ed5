"""The pages of merchants' bank accounts and payout plans, with their actions."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backoffice.actions.admin import ActionsAdmin
from backoffice.actions.declaration import ActionTarget, AdminAction, Result
from backoffice.payout_forms import BankAccountForm, PlanForm
from backoffice.payout_rules import find_conflict, find_payee, find_platform_obstacle
from payouts.admin import BankAccountAdmin, PayoutPlanAdmin
from payouts.models import (
    BankAccount,
    BankAccountStatus,
    PayoutPlan,
)
from payouts.services import bank_accounts, plans
from staff.roles import Permission


def _request_account(user: User, _row: None, data: dict[str, Any]) -> Result:
    merchant = find_payee(data)
    account = bank_accounts.request_bank_account(
        merchant_id=merchant.id,
        environment=data["environment"],
        currency=data["currency"],
        details={name: data[name] for name in ("kind", "holder", "account_no", "bank_code")},
        actor=user.get_username(),
        reason=data["reason"],
    )
    return redirect("admin:payouts_bankaccount_change", account.id)


def _approve_account(user: User, account: BankAccount, data: dict[str, Any]) -> None:
    bank_accounts.approve_bank_account(
        account_id=account.id,
        actor=user.get_username(),
        reason=data["reason"],
        find_conflict=find_conflict,
    )


def _reject_account(user: User, account: BankAccount, data: dict[str, Any]) -> None:
    bank_accounts.reject_bank_account(account_id=account.id, actor=user.get_username(), reason=data["reason"])


def _find_account_obstacle(account: BankAccount) -> str:
    if account.status == BankAccountStatus.AWAITING_APPROVAL:
        return ""
    return _("This bank account has been decided already.")


admin.site.unregister([BankAccount, PayoutPlan])


@admin.register(BankAccount)
class BankAccountPageAdmin(ActionsAdmin, BankAccountAdmin):  # type: ignore[misc]  # unfold's mixins
    staff_actions = (
        AdminAction(
            "new",
            gettext_lazy("New bank account"),
            gettext_lazy(
                "Payouts in its currency stop until a second person has decided and it has cooled down."
            ),
            Permission.MANAGE_PAYOUTS,
            _request_account,
            BankAccountForm,
            target=ActionTarget.LIST,
            find_obstacle=find_platform_obstacle,
        ),
        AdminAction(
            "approve",
            gettext_lazy("Approve bank account"),
            gettext_lazy(
                "Call the merchant on a known number first: a changed account is how payouts are stolen."
            ),
            Permission.APPROVE,
            _approve_account,
            find_obstacle=_find_account_obstacle,
            is_destructive=True,
        ),
        AdminAction(
            "reject",
            gettext_lazy("Reject bank account"),
            gettext_lazy("Payouts go to the present account again."),
            Permission.APPROVE,
            _reject_account,
            find_obstacle=_find_account_obstacle,
        ),
    )


def _set_plan(user: User, _row: None, data: dict[str, Any]) -> None:
    merchant = find_payee(data)
    environment, reason = data.pop("environment"), data.pop("reason")
    plans.set_plan(
        merchant_id=merchant.id,
        environment=environment,
        values=data,
        actor=user.get_username(),
        reason=reason,
    )


@admin.register(PayoutPlan)
class PayoutPlanPageAdmin(ActionsAdmin, PayoutPlanAdmin):  # type: ignore[misc]  # unfold's mixins
    staff_actions = (
        AdminAction(
            "set",
            gettext_lazy("Set payout plan"),
            gettext_lazy("Replaces the plan of the merchant, from the next payout on."),
            Permission.MANAGE_PAYOUTS,
            _set_plan,
            PlanForm,
            target=ActionTarget.LIST,
            find_obstacle=find_platform_obstacle,
        ),
    )
