"""Changes the accounts of staff: invites members, sets their roles, ends their access. Each change is in the audit log.

Nobody can become somebody else: nobody acts as another person or sets another person's password, and a person who sends
somebody a new link cannot also reset that person's second factor, or unlink the account from single sign-on.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from smtplib import SMTPException

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.contrib.auth.tokens import default_token_generator
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from django.utils.translation import gettext as _

from audit.action_types import ObjectType, StaffActionType
from audit.models import StaffAction
from audit.recording import AuditEntry, recording
from common.db import insert_unless_exists
from common.errors import OperationRefused, UnknownObject
from staff import second_factor
from staff.mailboxes import is_company_mailbox, normalize_mailbox
from staff.models import SingleSignOnIdentity
from staff.roles import Role
from staff.sessions import delete_sessions
from staff.superusers import refuse_superuser


@dataclass(frozen=True, slots=True)
class Invitation:
    """`link` opens the page where the person chooses a password. It is empty when it was e-mailed to the person: then
    nobody else has seen it. Otherwise show it once to the inviter, who passes it on."""

    user: User
    link: str = field(repr=False)


def invite_member(
    *, username: str, email: str, roles: Collection[Role], actor: str, reason: str, in_terminal: bool = False
) -> Invitation:
    """`in_terminal`: the `staff` command shows the link to an operator. Raises `OperationRefused`."""
    user = User(username=username.strip(), email=email.strip().lower(), is_staff=True)
    user.set_unusable_password()
    try:
        user.clean_fields(exclude=["password", "date_joined"])
    except ValidationError as error:
        raise OperationRefused("; ".join(error.messages)) from error
    link_channel = "terminal" if in_terminal else _choose_link_channel(user)
    with recording(
        StaffActionType.STAFF_INVITED, ObjectType.STAFF, user.get_username(), actor=actor, reason=reason
    ) as entry:
        if is_mailbox_taken(user.email):
            raise OperationRefused(_("An account with this mailbox exists already."))
        if not insert_unless_exists(user):
            raise OperationRefused(_("An account with this user name exists already."))
        user.groups.set(groups_of_roles(roles))
        entry.after = {"roles": sorted(roles), "email": user.email, "link": link_channel}
    return _deliver_link(user, link_channel)


def set_roles(*, user_id: int, roles: Collection[Role], actor: str, reason: str) -> User:
    """Replaces the roles. Raises `OperationRefused`, also for the actor's own account."""
    with recording(StaffActionType.STAFF_ROLES_SET, ObjectType.STAFF, actor=actor, reason=reason) as entry:
        user = lock_member(user_id, actor)
        _require_unlinked(
            user, _("The groups of the single sign-on provider decide the roles of this account.")
        )
        entry.object_id = user.get_username()
        replace_roles(user, roles, entry)
    return user


def replace_roles(user: User, roles: Collection[Role], entry: AuditEntry) -> None:
    """Sets the roles and records them. Ends the person's sessions if a role is taken away. Runs in the caller's
    transaction."""
    before, after = set(user.groups.values_list("name", flat=True)), {role.value for role in roles}
    user.groups.set(groups_of_roles(roles))
    if before - after:
        delete_sessions(user)
    entry.before, entry.after = {"roles": sorted(before)}, {"roles": sorted(after)}


def set_active(*, user_id: int, active: bool, actor: str, reason: str) -> User:
    """Deactivating ends all sessions, from the next request on. Raises `OperationRefused`."""
    action = StaffActionType.STAFF_REACTIVATED if active else StaffActionType.STAFF_DEACTIVATED
    with recording(action, ObjectType.STAFF, actor=actor, reason=reason) as entry:
        user = lock_member(user_id, actor)
        if user.is_active == active:
            raise OperationRefused(_("This has been done already. Reload the page."))
        user.is_active = active
        user.save(update_fields=["is_active"])
        delete_sessions(user)
        entry.object_id, entry.before, entry.after = (
            user.get_username(),
            {"active": not active},
            {"active": active},
        )
    return user


def send_password_link(*, user_id: int, actor: str, reason: str) -> Invitation:
    """For a forgotten password. The present password ends. Raises `OperationRefused`."""
    with recording(StaffActionType.STAFF_LINK_SENT, ObjectType.STAFF, actor=actor, reason=reason) as entry:
        user = lock_member(user_id, actor)
        _require_unlinked(user, _("This account uses single sign-on. Unlink it before it gets a password."))
        require_other_credentials_kept(
            user, actor, {StaffActionType.FACTOR_RESET, StaffActionType.SSO_UNLINKED}
        )
        user.set_unusable_password()
        user.save(update_fields=["password"])
        delete_sessions(user)
        link_channel = _choose_link_channel(user)
        entry.object_id = user.get_username()
        entry.after = {"link": link_channel, "email": user.email}
    return _deliver_link(user, link_channel)


def reset_second_factor(*, user_id: int, actor: str, reason: str) -> User:
    """For a lost phone: the person enrols again at the next sign-in. Raises `OperationRefused`."""
    with recording(StaffActionType.FACTOR_RESET, ObjectType.STAFF, actor=actor, reason=reason) as entry:
        user = lock_member(user_id, actor)
        require_other_credentials_kept(user, actor, {StaffActionType.STAFF_LINK_SENT})
        if not second_factor.remove_second_factor(user=user):
            raise OperationRefused(_("This person has no second factor."))
        delete_sessions(user)
        entry.object_id, entry.after = user.get_username(), {"was_enrolled": True}
    return user


def lock_member(user_id: int, actor: str) -> User:
    """Raises `UnknownObject`, and `OperationRefused` for the actor's own account and for superusers."""
    user = User.objects.select_for_update(no_key=True).filter(pk=user_id, is_staff=True).first()
    if user is None:
        raise UnknownObject(_("There is no such staff account."))
    if user.get_username() == actor:
        raise OperationRefused(_("You cannot do this for your own account. Another person must do it."))
    refuse_superuser(user)
    return user


def _require_unlinked(user: User, text: str) -> None:
    """Raises `OperationRefused` with the text if the account is linked with single sign-on."""
    if SingleSignOnIdentity.objects.filter(user=user).exists():
        raise OperationRefused(text)


def require_other_credentials_kept(user: User, actor: str, others: Collection[StaffActionType]) -> None:
    """Raises `OperationRefused` if the actor has changed another credential (`others`) and the person has not signed in
    since: with both, the actor could sign in as that person."""
    latest = (
        StaffAction.objects.filter(object_id=user.get_username(), action__in=others, actor=actor)
        .order_by("-id")
        .first()
    )
    if latest is not None and (user.last_login is None or user.last_login < latest.created_at):
        raise OperationRefused(
            _(
                "You have just changed another way in which this person signs in. Another person must change this"
                " one."
            )
        )


def groups_of_roles(roles: Iterable[Role]) -> list[Group]:
    return list(Group.objects.filter(name__in=[role.value for role in roles]))


def is_mailbox_taken(email: str) -> bool:
    emails = User.objects.filter(is_staff=True).exclude(email="").values_list("email", flat=True)
    return normalize_mailbox(email) in map(normalize_mailbox, emails)


def _choose_link_channel(user: User) -> str:
    """Returns `sent` (by e-mail) or `shown` (to the inviter). It is in the audit log: an account whose link was shown
    cannot approve for dual control (ADR 23), because the inviter may have opened it."""
    return "sent" if is_company_mailbox(user.email) else "shown"


def _deliver_link(user: User, link_channel: str) -> Invitation:
    """Raises `OperationRefused` when the mail server refuses the message. A new link can be sent later."""
    if link_channel != "sent":
        return Invitation(user, _build_link(user))
    message = EmailMessage(
        subject=_("Your account for the back office"),
        body=_("Set your password here within one day:\n\n%(link)s\n\nThe link is valid once.")
        % {"link": _build_link(user)},
        to=[user.email],
    )
    try:
        message.send()
    except (OSError, SMTPException) as error:
        raise OperationRefused(_("The e-mail could not be sent. Create a new link later.")) from error
    return Invitation(user, "")


def _build_link(user: User) -> str:
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    path = reverse("staff_invitation", args=[uid, default_token_generator.make_token(user)])
    return f"{settings.PUBLIC_BASE_URL}{path}"
