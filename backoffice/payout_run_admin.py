"""The pages of payout runs, with their actions."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import Count, Sum
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backoffice.actions.admin import ActionsAdmin
from backoffice.actions.declaration import ActionTarget, AdminAction, Result
from backoffice.payout_forms import NewRunForm
from backoffice.payout_rules import find_conflict, find_payee, find_platform_obstacle
from common.admin import money_text
from common.downloads import attachment_headers
from payouts.admin import PayoutRunAdmin
from payouts.models import (
    PayoutFile,
    PayoutRun,
    PayoutRunStatus,
    PayoutStatus,
)
from payouts.services import runs
from payouts.services.files import download_file
from staff.roles import Permission


def _create_run(user: User, _row: None, data: dict[str, Any]) -> Result:
    merchant_ids = [find_payee(data).id] if data.get("merchant_email") else []
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
        run_id=run.id, actor=user.get_username(), reason=data["reason"], find_conflict=find_conflict
    )


def _reject_run(user: User, run: PayoutRun, data: dict[str, Any]) -> None:
    runs.reject_run(run_id=run.id, actor=user.get_username(), reason=data["reason"])


def _download(user: User, run: PayoutRun, data: dict[str, Any]) -> HttpResponse:
    file = download_file(run_id=run.id, actor=user.get_username(), reason=data["reason"])
    return HttpResponse(
        file.content,
        content_type=file.media_type,
        headers=attachment_headers(file.name),
    )


def _find_decision_obstacle(run: PayoutRun) -> str:
    return "" if run.status == PayoutRunStatus.AWAITING_APPROVAL else _("This run has been decided already.")


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


admin.site.unregister(PayoutRun)


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
            target=ActionTarget.LIST,
            find_obstacle=find_platform_obstacle,
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
