"""The pages of payout runs, payouts, bank accounts and plans, with their actions."""

from collections.abc import Callable, Sequence
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import Count, Sum
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backoffice.actions.admin import ActionsAdmin
from backoffice.actions.declaration import AdminAction, Result, Scope
from backoffice.approvals.approvers import find_approver_conflict
from backoffice.payout_forms import BankAccountForm, CameBackForm, NewRunForm, PaidForm, PlanForm
from common.admin import money_text
from common.errors import FieldsRefused
from merchants.models import Merchant
from payouts.admin import BankAccountAdmin, PayoutAdmin, PayoutPlanAdmin, PayoutRunAdmin
from payouts.models import (
    BankAccount,
    BankAccountStatus,
    Payout,
    PayoutFile,
    PayoutPlan,
    PayoutRun,
    PayoutStatus,
    RunStatus,
)
from payouts.services import bank_accounts, outcomes, plans, runs
from payouts.services.files import download_file
from staff.roles import Permission

NOT_HELD = gettext_lazy(
    "This platform holds no money for merchants (HOLDS_MERCHANT_FUNDS=0), so it pays none out."
)


def _find_conflict(approver: str, requester: str) -> str:
    return find_approver_conflict(approver=approver, requester=requester)


def _find_platform_obstacle(_row: Any) -> str:
    return "" if settings.HOLDS_MERCHANT_FUNDS else str(NOT_HELD)


def _find_merchant(data: dict[str, Any]) -> Merchant:
    email = data.pop("merchant_email")
    merchant = Merchant.objects.filter(email=email.lower()).first()
    if merchant is None:
        raise FieldsRefused({"merchant_email": _("There is no merchant with the e-mail %s.") % email})
    return merchant


# --- runs


def _create_run(user: User, _row: None, data: dict[str, Any]) -> Result:
    merchant_ids = [_find_merchant(data).id] if data.get("merchant_email") else []
    run_id = runs.create_run(
        environment=data["environment"],
        currency=data["currency"],
        merchant_ids=merchant_ids,
        actor=user.get_username(),
        reason=data["reason"],
    )
    return redirect("admin:payouts_payoutrun_change", run_id)


def _adopt_run(user: User, run: PayoutRun, data: dict[str, Any]) -> None:
    runs.adopt_run(run_id=run.id, actor=user.get_username(), reason=data["reason"])


def _approve_run(user: User, run: PayoutRun, data: dict[str, Any]) -> None:
    runs.approve_run(
        run_id=run.id, actor=user.get_username(), reason=data["reason"], find_conflict=_find_conflict
    )


def _reject_run(user: User, run: PayoutRun, data: dict[str, Any]) -> None:
    runs.reject_run(run_id=run.id, actor=user.get_username(), reason=data["reason"])


def _download(user: User, run: PayoutRun, data: dict[str, Any]) -> HttpResponse:
    file = download_file(run_id=run.id, actor=user.get_username(), reason=data["reason"])
    return HttpResponse(
        file.content,
        content_type=file.media_type,
        headers={
            "Content-Disposition": f'attachment; filename="{file.name}"',
            "Cache-Control": "no-store",
        },
    )


def _find_decision_obstacle(run: PayoutRun) -> str:
    return "" if run.status == RunStatus.AWAITING_APPROVAL else _("This run has been decided already.")


def _find_adoption_obstacle(run: PayoutRun) -> str:
    if run.requested_by:
        return _("Another account has requested this run already.")
    return _find_decision_obstacle(run)


def _find_approval_obstacle(run: PayoutRun) -> str:
    if not run.requested_by:
        return _("Nobody has requested this run yet: adopt it, and have another person approve it.")
    return _find_decision_obstacle(run)


def _find_download_obstacle(run: PayoutRun) -> str:
    return "" if PayoutFile.objects.filter(run_id=run.id).exists() else _("This run has no file.")


def _list_run_facts(run: PayoutRun) -> Sequence[tuple[str, str]]:
    """Both sides of the decision: what is paid, and who asked for it."""
    frozen = run.payouts.filter(status=PayoutStatus.PENDING).aggregate(
        count=Count("id"), total=Sum("amount_minor", default=0)
    )
    return [
        (_("Payouts"), str(frozen["count"])),
        (_("Total"), money_text(frozen["total"], run.currency)),
        (_("Requested by"), run.requested_by or _("the schedule")),
    ]


admin.site.unregister((PayoutRun, Payout, BankAccount, PayoutPlan))


@admin.register(PayoutRun)
class PayoutRunPageAdmin(ActionsAdmin, PayoutRunAdmin):  # type: ignore[misc]  # unfold's mixins
    staff_actions = (
        AdminAction(
            "new",
            gettext_lazy("New payout run"),
            gettext_lazy("Reserves what is payable now. A second person approves it."),
            Permission.MANAGE_PAYOUTS,
            _create_run,
            NewRunForm,
            scope=Scope.LIST,
            find_obstacle=_find_platform_obstacle,
        ),
        AdminAction(
            "adopt",
            gettext_lazy("Adopt run"),
            gettext_lazy("You become the requester of a run of the schedule. Another person approves it."),
            Permission.MANAGE_PAYOUTS,
            _adopt_run,
            find_obstacle=_find_adoption_obstacle,
            list_facts=_list_run_facts,
        ),
        AdminAction(
            "approve",
            gettext_lazy("Approve run"),
            gettext_lazy("Writes the file for the bank and books the payouts. It cannot be undone."),
            Permission.APPROVE,
            _approve_run,
            find_obstacle=_find_approval_obstacle,
            list_facts=_list_run_facts,
            is_destructive=True,
        ),
        AdminAction(
            "reject",
            gettext_lazy("Reject run"),
            gettext_lazy("The amounts are payable again."),
            Permission.MANAGE_PAYOUTS,
            _reject_run,
            find_obstacle=_find_decision_obstacle,
            list_facts=_list_run_facts,
        ),
        AdminAction(
            "download",
            gettext_lazy("Download the file"),
            gettext_lazy(
                "Give it to the bank once. Each download is recorded in the audit log with your name."
            ),
            Permission.MANAGE_PAYOUTS,
            _download,
            find_obstacle=_find_download_obstacle,
        ),
    )


# --- payouts


def _record(status: PayoutStatus) -> Callable[[User, Payout, dict[str, Any]], None]:
    def record(user: User, payout: Payout, data: dict[str, Any]) -> None:
        reason = data.pop("reason")
        outcome = outcomes.BankOutcome(payout_no=payout.payout_no, status=status, **data)
        outcomes.record_outcome(
            outcome=outcome, actor=user.get_username(), reason=reason, find_conflict=_find_conflict
        )

    return record


def _find_settled_obstacle(payout: Payout) -> str:
    return "" if payout.status == PayoutStatus.IN_TRANSIT else _("This payout is not in transit.")


def _find_paid_obstacle(payout: Payout) -> str:
    return "" if payout.status == PayoutStatus.FAILED else _find_settled_obstacle(payout)


def _find_return_obstacle(payout: Payout) -> str:
    if payout.status in (PayoutStatus.IN_TRANSIT, PayoutStatus.PAID):
        return ""
    return _("Only a payout that was sent can come back.")


@admin.register(Payout)
class PayoutPageAdmin(ActionsAdmin, PayoutAdmin):  # type: ignore[misc]  # unfold's mixins
    staff_actions = (
        AdminAction(
            "paid",
            gettext_lazy("Mark paid"),
            gettext_lazy("The bank has paid it."),
            Permission.MANAGE_PAYOUTS,
            _record(PayoutStatus.PAID),
            PaidForm,
            find_obstacle=_find_paid_obstacle,
        ),
        AdminAction(
            "failed",
            gettext_lazy("Mark failed"),
            gettext_lazy(
                "The bank has not paid it. The amount is payable again when a second person has recorded the same."
            ),
            Permission.MANAGE_PAYOUTS,
            _record(PayoutStatus.FAILED),
            CameBackForm,
            find_obstacle=_find_settled_obstacle,
            is_destructive=True,
        ),
        AdminAction(
            "returned",
            gettext_lazy("Mark returned"),
            gettext_lazy(
                "The merchant's bank has sent it back. The amount is payable again when a second person has recorded"
                " the same."
            ),
            Permission.MANAGE_PAYOUTS,
            _record(PayoutStatus.RETURNED),
            CameBackForm,
            find_obstacle=_find_return_obstacle,
            is_destructive=True,
        ),
    )


# --- bank accounts


def _request_account(user: User, _row: None, data: dict[str, Any]) -> Result:
    merchant = _find_merchant(data)
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
        find_conflict=_find_conflict,
    )


def _reject_account(user: User, account: BankAccount, data: dict[str, Any]) -> None:
    bank_accounts.reject_bank_account(account_id=account.id, actor=user.get_username(), reason=data["reason"])


def _find_account_obstacle(account: BankAccount) -> str:
    if account.status == BankAccountStatus.AWAITING_APPROVAL:
        return ""
    return _("This bank account has been decided already.")


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
            scope=Scope.LIST,
            find_obstacle=_find_platform_obstacle,
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


# --- plans


def _set_plan(user: User, _row: None, data: dict[str, Any]) -> None:
    merchant = _find_merchant(data)
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
            scope=Scope.LIST,
            find_obstacle=_find_platform_obstacle,
        ),
    )
