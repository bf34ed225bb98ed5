"""What is done about members of staff: invited, given roles, and their access ended. Each with actor and reason.

Nobody becomes somebody else. There is no way to act as another person, nobody sets another's password, and who sends a
person a new link cannot also take away that person's second factor.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from smtplib import SMTPException

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.contrib.auth.tokens import default_token_generator
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage
from django.db import transaction
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit import services as audit
from audit.action_types import ObjectType, StaffActionType
from audit.models import StaffAction
from common.db import insert_unless_exists
from common.errors import OperationRefused, UnknownObject
from staff import second_factor
from staff.mailboxes import is_of_the_company, mailbox
from staff.roles import Role

ABOVE_ALL = gettext_lazy("This is a superuser account. It can only be managed in the terminal.")


@dataclass(frozen=True, slots=True)
class Invitation:
    """`link` opens the page where the person chooses a password. Empty: it was sent to their address, and nobody else
    has seen it. Otherwise it is shown once, to be handed over."""

    user: User
    link: str = field(repr=False)


def invite(
    *, username: str, email: str, roles: Collection[Role], actor: str, reason: str, in_terminal: bool = False
) -> Invitation:
    """`in_terminal`: by who keeps the servers, to whom the link is shown. Raises `OperationRefused`."""
    user = User(username=username.strip(), email=email.strip().lower(), is_staff=True)
    user.set_unusable_password()
    try:
        user.clean_fields(exclude=["password", "date_joined"])
    except ValidationError as error:
        raise OperationRefused("; ".join(error.messages)) from error
    way = "terminal" if in_terminal else _way_of_link(user)
    with transaction.atomic():
        if _has_mailbox(user.email):
            raise OperationRefused(_("An account with this mailbox exists already."))
        if not insert_unless_exists(user):
            raise OperationRefused(_("An account with this user name exists already."))
        user.groups.set(_groups(roles))
        after: dict[str, object] = {"roles": sorted(roles), "email": user.email, "link": way}
        _record(user, StaffActionType.STAFF_INVITED, actor, reason, after=after)
    return _hand_over(user, way)


def set_roles(*, user_id: int, roles: Collection[Role], actor: str, reason: str) -> User:
    """Raises `OperationRefused`: not one's own, so that nobody gives themselves more."""
    with transaction.atomic():
        user = _lock(user_id, actor)
        before = sorted(user.groups.values_list("name", flat=True))
        user.groups.set(_groups(roles))
        _record(
            user,
            StaffActionType.STAFF_ROLES_SET,
            actor,
            reason,
            before={"roles": before},
            after={"roles": sorted(roles)},
        )
    return user


def set_active(*, user_id: int, active: bool, actor: str, reason: str) -> User:
    """Who is not active has no session any more, from the next request on. Raises `OperationRefused`."""
    with transaction.atomic():
        user = _lock(user_id, actor)
        if user.is_active == active:
            raise OperationRefused(_("This has been done already. Reload the page."))
        user.is_active = active
        user.save(update_fields=["is_active"])
        action = StaffActionType.STAFF_REACTIVATED if active else StaffActionType.STAFF_DEACTIVATED
        _record(user, action, actor, reason, before={"active": not active}, after={"active": active})
    return user


def send_link(*, user_id: int, actor: str, reason: str) -> Invitation:
    """For a forgotten password. The present one ends. Raises `OperationRefused`."""
    with transaction.atomic():
        user = _lock(user_id, actor)
        _refuse_taking_over(user, actor, StaffActionType.FACTOR_RESET)
        user.set_unusable_password()
        user.save(update_fields=["password"])
        way = _way_of_link(user)
        _record(
            user, StaffActionType.STAFF_LINK_SENT, actor, reason, after={"link": way, "email": user.email}
        )
    return _hand_over(user, way)


def reset_second_factor(*, user_id: int, actor: str, reason: str) -> User:
    """Raises `OperationRefused`."""
    with transaction.atomic():
        user = _lock(user_id, actor)
        _refuse_taking_over(user, actor, StaffActionType.STAFF_LINK_SENT)
        if not second_factor.reset(user=user, actor=actor, reason=reason):
            raise OperationRefused(_("This person has no second factor."))
    return user


def _lock(user_id: int, actor: str) -> User:
    user = User.objects.select_for_update(no_key=True).filter(pk=user_id, is_staff=True).first()
    if user is None:
        raise UnknownObject(_("There is no such staff account."))
    if user.get_username() == actor:
        raise OperationRefused(_("You cannot do this for your own account. Another person must do it."))
    if user.is_superuser:
        raise OperationRefused(str(ABOVE_ALL))
    return user


def _refuse_taking_over(user: User, actor: str, other: StaffActionType) -> None:
    """Password and second factor are not both taken away by one person, before the owner has signed in again."""
    latest = (
        StaffAction.objects.filter(object_id=user.get_username(), action=other, actor=actor)
        .order_by("-id")
        .first()
    )
    if latest is not None and (user.last_login is None or user.last_login < latest.created_at):
        raise OperationRefused(
            _("You have just reset this person's other factor. Another person must reset this one.")
        )


def _groups(roles: Collection[Role]) -> list[Group]:
    return list(Group.objects.filter(name__in=[role.value for role in roles]))


def _has_mailbox(email: str) -> bool:
    known = User.objects.filter(is_staff=True).exclude(email="").values_list("email", flat=True)
    return mailbox(email) in map(mailbox, known)


def _way_of_link(user: User) -> str:
    """Kept in the audit: who was shown a link may have opened it, so that account decides nothing by two (ADR 23)."""
    return "sent" if is_of_the_company(user.email) else "shown"


def _hand_over(user: User, way: str) -> Invitation:
    """Raises `OperationRefused` when the mail server does not take it: a new link can be sent then."""
    if way != "sent":
        return Invitation(user, _link(user))
    message = EmailMessage(
        subject=_("Your account for the back office"),
        body=_("Set your password here within one day:\n\n%(link)s\n\nThe link is valid once.")
        % {"link": _link(user)},
        to=[user.email],
    )
    try:
        message.send()
    except (OSError, SMTPException) as error:
        raise OperationRefused(_("The e-mail could not be sent. Create a new link later.")) from error
    return Invitation(user, "")


def _link(user: User) -> str:
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    path = reverse("staff_invitation", args=[uid, default_token_generator.make_token(user)])
    return f"{settings.PUBLIC_BASE_URL}{path}"


def _record(
    user: User,
    action: StaffActionType,
    actor: str,
    reason: str,
    *,
    before: dict[str, object] | None = None,
    after: dict[str, object] | None = None,
) -> None:
    audit.record(
        actor=actor,
        action=action,
        object_type=ObjectType.STAFF,
        object_id=user.get_username(),
        reason=reason,
        before=before,
        after=after,
    )
