"""Whether two accounts are two people, as far as a program can tell (ADR 23).

Everything is read from the audit, which nobody can change, and from the accounts themselves.
"""

import datetime as dt
from typing import Final

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from audit.action_types import ObjectType, StaffActionType
from audit.models import StaffAction
from common.clock import database_now
from common.terminal import TERMINAL
from staff import second_factor
from staff.mailboxes import normalize_mailbox

# What opens an account, or gives it more: the waiting time begins anew.
ACCOUNT_CHANGES: Final = (
    StaffActionType.STAFF_INVITED,
    StaffActionType.STAFF_LINK_SENT,
    StaffActionType.STAFF_ROLES_SET,
    StaffActionType.STAFF_REACTIVATED,
    StaffActionType.FACTOR_RESET,
)
LINK_ACTIONS: Final = (StaffActionType.STAFF_INVITED, StaffActionType.STAFF_LINK_SENT)


def find_approver_conflict(*, approver: str, requester: str) -> str:
    """Why the approver is not a second person beside the requester; empty when it is one."""
    if approver == requester:
        return _("You requested this yourself. Another person must approve it.")
    accounts = {each.get_username(): each for each in User.objects.filter(username__in=(approver, requester))}
    account = accounts.get(approver)
    if account is None or not (account.is_active and account.is_staff):
        return _("Only an active staff account can approve.")
    if settings.STAFF_OTP_REQUIRED and not second_factor.is_enrolled(account):
        return _("Enrol a second factor before you approve.")
    left = account_changed_at(account) + dt.timedelta(hours=settings.APPROVER_AGE_HOURS) - database_now()
    if left > dt.timedelta(0):
        return _("This account is new or its access has changed. It can approve in %(hours)d hours.") % {
            "hours": left // dt.timedelta(hours=1) + 1
        }
    return _find_shared_identity(account, accounts.get(requester), requester)


def is_from_terminal(name: str) -> bool:
    """Whether somebody typed `name` in a terminal, which proves nothing. No account has such a name."""
    return name.startswith(TERMINAL)


def account_changed_at(account: User) -> dt.datetime:
    """When the account was made, or its access last changed by somebody else."""
    last = _staff_actions(account.get_username(), *ACCOUNT_CHANGES).order_by("-id").first()
    return max(account.date_joined, last.created_at) if last else account.date_joined


def _find_shared_identity(approver: User, asking: User | None, requester: str) -> str:
    """`asking` is the account of the requester; None for a name from a terminal."""
    for link in _newest_links(approver.get_username(), requester):
        if link.after.get("link") == "shown":
            return _(
                "The link of account %(name)s was shown to %(actor)s. Send a new link to a company e-mail address"
                " before the account takes part in approvals."
            ) % {"name": link.object_id, "actor": link.actor}
    if asking is None or is_from_terminal(requester):
        return _(
            "This was requested in a terminal, which proves no identity. An account must adopt the request first."
        )
    if approver.email and normalize_mailbox(approver.email) == normalize_mailbox(asking.email):
        return _("Both accounts share a mailbox. Another person must approve it.")
    for invited, by in ((approver, asking), (asking, approver)):
        if (
            not by.email
            and _staff_actions(invited.get_username(), *LINK_ACTIONS).filter(actor=by.get_username()).exists()
        ):
            return _(
                "One of the two accounts invited the other and has no e-mail address. Another person must approve it."
            )
    return ""


def _newest_links(*names: str) -> QuerySet[StaffAction]:
    """Of each account, the link that opened it last."""
    made = StaffAction.objects.filter(
        object_id__in=names, object_type=ObjectType.STAFF, action__in=LINK_ACTIONS
    )
    return made.order_by("object_id", "-id").distinct("object_id")


def _staff_actions(name: str, *acts: StaffActionType) -> QuerySet[StaffAction]:
    return StaffAction.objects.filter(object_id=name, object_type=ObjectType.STAFF, action__in=acts)
