"""The pages of payouts: what became of each one is recorded by hand."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backoffice.actions.admin import ActionsAdmin
from backoffice.actions.declaration import AdminAction
from backoffice.payout_forms import CameBackForm, PaidForm
from backoffice.payout_rules import find_conflict
from payouts.admin import PayoutAdmin
from payouts.models import (
    Payout,
    PayoutStatus,
)
from payouts.services import outcomes
from staff.roles import Permission


def _record(status: PayoutStatus) -> Callable[[User, Payout, dict[str, Any]], None]:
    def record(user: User, payout: Payout, data: dict[str, Any]) -> None:
        reason = data.pop("reason")
        outcome = outcomes.BankOutcome(payout_no=payout.payout_no, status=status, **data)
        outcomes.record_outcome(
            outcome=outcome, actor=user.get_username(), reason=reason, find_conflict=find_conflict
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


admin.site.unregister(Payout)


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
