"""Checks whether two accounts count as two people (ADR 23).

An approver also has the permission `APPROVE`: the roles Finance, Operator and Admin (`staff/roles.py`). The amounts
are in `limits.py`, from the setting `SECOND_PERSON_ABOVE`. The check reads the accounts and the audit log, which nobody
can change.
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

# Each of these restarts the waiting time of the account (APPROVER_AGE_HOURS).
ACCOUNT_CHANGES: Final = (
    StaffActionType.STAFF_INVITED,
    StaffActionType.STAFF_LINK_SENT,
    StaffActionType.STAFF_ROLES_SET,
    StaffActionType.STAFF_REACTIVATED,
    StaffActionType.FACTOR_RESET,
    StaffActionType.SSO_ROLES_SET,
    StaffActionType.SSO_LINKED,
    StaffActionType.SSO_UNLINKED,
)
LINK_ACTIONS: Final = (StaffActionType.STAFF_INVITED, StaffActionType.STAFF_LINK_SENT)


def find_approver_conflict(*, approver: str, requester: str) -> str:
    """Returns why `approver` does not count as a second person beside `requester`; empty when they do."""
    if approver == requester:
        return _("You requested this yourself. Another person must approve it.")
    accounts = {each.get_username(): each for each in User.objects.filter(username__in=(approver, requester))}
    account = accounts.get(approver)
    if account is None or not (account.is_active and account.is_staff):
        return _("Only an active staff account can approve.")
    if settings.STAFF_OTP_REQUIRED and not second_factor.has_second_factor(account):
        return _("Enrol a second factor before you approve.")
    left = account_changed_at(account) + dt.timedelta(hours=settings.APPROVER_AGE_HOURS) - database_now()
    if left > dt.timedelta(0):
        return _("This account is new or its access has changed. It can approve in %(hours)d hours.") % {
            "hours": left // dt.timedelta(hours=1) + 1
        }
    return _find_shared_identity(account, accounts.get(requester), requester)


def is_from_terminal(name: str) -> bool:
    """Tells whether `name` was typed in a terminal, which proves no identity. No account has such a name."""
    return name.startswith(TERMINAL)


def account_changed_at(account: User) -> dt.datetime:
    """Returns when the account was created, or when another person last changed its access."""
    last = _staff_actions(account.get_username(), *ACCOUNT_CHANGES).order_by("-id").first()
    return max(account.date_joined, last.created_at) if last else account.date_joined


def _find_shared_identity(approver: User, requester_account: User | None, requester: str) -> str:
    """Returns why one person may control both accounts. `requester_account`: None for a name from a terminal."""
    for link in _newest_links(approver.get_username(), requester):
        if link.after.get("link") == "shown":
            return _(
                "The link of account %(name)s was shown to %(actor)s. Send a new link to a company e-mail address"
                " before the account takes part in approvals."
            ) % {"name": link.object_id, "actor": link.actor}
    if requester_account is None or is_from_terminal(requester):
        return _(
            "This was requested in a terminal, which proves no identity. An account must adopt the request first."
        )
    if approver.email and normalize_mailbox(approver.email) == normalize_mailbox(requester_account.email):
        return _("Both accounts share a mailbox. Another person must approve it.")
    for invited, by in ((approver, requester_account), (requester_account, approver)):
        if (
            not by.email
            and _staff_actions(invited.get_username(), *LINK_ACTIONS).filter(actor=by.get_username()).exists()
        ):
            return _(
                "One of the two accounts invited the other and has no e-mail address. Another person must approve it."
            )
    return ""


def _newest_links(*names: str) -> QuerySet[StaffAction]:
    """Returns the newest link of each account."""
    links = StaffAction.objects.filter(
        object_id__in=names, object_type=ObjectType.STAFF, action__in=LINK_ACTIONS
    )
    return links.order_by("object_id", "-id").distinct("object_id")


def _staff_actions(name: str, *actions: StaffActionType) -> QuerySet[StaffAction]:
    return StaffAction.objects.filter(object_id=name, object_type=ObjectType.STAFF, action__in=actions)
