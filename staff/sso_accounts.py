"""Decides who a person of the single sign-on provider is here: finds or creates the account, and sets its roles.

Issuer and subject identify the person, never the e-mail address: an address can be given to somebody else. Groups of
the provider decide the roles at each sign-in.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import structlog
from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from audit.action_types import ObjectType, StaffActionType
from audit.recording import recording
from common.db import insert_unless_exists, violates
from common.errors import OperationRefused
from staff.accounts import (
    groups_of_roles,
    is_mailbox_taken,
    lock_member,
    replace_roles,
    require_other_credentials_kept,
)
from staff.models import SingleSignOnIdentity
from staff.roles import Role
from staff.second_factor import record_own_change
from staff.sessions import delete_sessions
from staff.sso_provider import find_claim

log = structlog.get_logger(__name__)

# The actor of changes that follow the provider. No account has such a name.
ACTOR: Final = "single_sign_on:provider"
ANY: Final = "*"
# The user name of a new account is the address: lower case, and without look-alikes of other alphabets.
_ADDRESS = re.compile(r"[a-z0-9._+-]{1,64}@[a-z0-9.-]{1,85}")

NO_SECOND_FACTOR = _("The provider did not confirm a second factor. Set one up there, then sign in again.")
NO_GROUP = _("None of your groups at the provider gives access to the back office. Ask your administrator.")
NO_EMAIL = _("The provider did not confirm an e-mail address for you. Ask your administrator.")
ACCOUNT_EXISTS = _(
    "There is already an account with your e-mail address. Sign in to it with your password, and link it with single"
    " sign-on on the page “Second factor”."
)
NO_ACCESS = _("Your account in the back office is not active. Ask your administrator.")
SUPERUSER = _("A superuser account cannot use single sign-on.")
OTHER_PERSON = _("This person of the provider is linked with another account.")
NOT_LINKED = _("This account is not linked with single sign-on.")
LINKED_ALREADY = _("Your account is linked with single sign-on already.")


class AccessRefused(Exception):
    """The provider knows the person, and the back office does not let them in. `text` says why, for them."""

    def __init__(self, text: Promise) -> None:
        super().__init__(str(text))
        self.text = text


def sign_in(claims: Mapping[str, Any]) -> SingleSignOnIdentity:
    """Returns the identity, whose `user` may sign in. Raises `AccessRefused`; roles that a person has lost are
    removed even then."""
    _require_second_factor(claims)
    roles = _read_roles(claims)
    with transaction.atomic():
        identity = _lock_identity(claims)
        if identity is None and roles:
            identity = _create_account(claims, roles)
        if identity is not None and _may_enter(identity.user):
            _follow_groups(identity.user, roles)
            SingleSignOnIdentity.objects.filter(pk=identity.pk).update(last_used_at=Now())
    if identity is not None and not _may_enter(identity.user):
        raise AccessRefused(SUPERUSER if identity.user.is_superuser else NO_ACCESS)
    if identity is None or not roles:
        raise AccessRefused(NO_GROUP)
    log.info("staff.single_sign_on_used", actor=identity.user.get_username())
    return identity


def link(claims: Mapping[str, Any], *, user: User) -> None:
    """Lets a person who has signed in with password and code use single sign-on from now on. Raises
    `AccessRefused`."""
    _require_second_factor(claims)
    if not _read_roles(claims):
        raise AccessRefused(NO_GROUP)
    if user.is_superuser:
        raise AccessRefused(SUPERUSER)
    identity = SingleSignOnIdentity(
        user=user, name="single sign-on", issuer=settings.OIDC_ISSUER, subject=claims["sub"]
    )
    try:
        with transaction.atomic():
            identity.save()
            record_own_change(user, StaffActionType.SSO_LINKED, subject=claims["sub"])
    except IntegrityError as error:
        is_own = violates(error, "single_sign_on_identity_of_person")
        raise AccessRefused(LINKED_ALREADY if is_own else OTHER_PERSON) from error


def is_linked(user: User) -> bool:
    return SingleSignOnIdentity.objects.filter(user=user).exists()


def unlink(*, user_id: int, actor: str, reason: str) -> None:
    """For a person who got a new account at the provider. Their sessions end. Raises `OperationRefused`, also for an
    actor who has just sent the person a link for a password."""
    with recording(StaffActionType.SSO_UNLINKED, ObjectType.STAFF, actor=actor, reason=reason) as entry:
        user = lock_member(user_id, actor)
        identity = SingleSignOnIdentity.objects.filter(user=user).first()
        if identity is None:
            raise OperationRefused(str(NOT_LINKED))
        require_other_credentials_kept(user, actor, {StaffActionType.STAFF_LINK_SENT})
        entry.object_id, entry.before = user.get_username(), {"subject": identity.subject}
        identity.delete()
        delete_sessions(user)


def _may_enter(user: User) -> bool:
    return user.is_active and user.is_staff and not user.is_superuser


def _require_second_factor(claims: Mapping[str, Any]) -> None:
    methods = claims.get("amr") or []
    is_proved = (
        ANY in settings.OIDC_AMR_VALUES
        or not {each for each in methods if isinstance(each, str)}.isdisjoint(settings.OIDC_AMR_VALUES)
        or claims.get("acr") in settings.OIDC_ACR_VALUES
    )
    if not is_proved:
        log.warning("staff.single_sign_on_refused", amr=methods, acr=claims.get("acr"))
        raise AccessRefused(NO_SECOND_FACTOR)


def _read_roles(claims: Mapping[str, Any]) -> set[Role]:
    groups = find_claim(claims, settings.OIDC_GROUPS_CLAIM)
    names = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
    mapped = settings.OIDC_GROUP_ROLES
    return {Role(mapped[name]) for name in names if isinstance(name, str) and name in mapped}


def _lock_identity(claims: Mapping[str, Any]) -> SingleSignOnIdentity | None:
    """Locks the account, so that two sign-ins of a person do not set its roles at the same time."""
    identity = SingleSignOnIdentity.objects.filter(issuer=settings.OIDC_ISSUER, subject=claims["sub"]).first()
    if identity is not None:
        identity.user = User.objects.select_for_update(no_key=True).get(pk=identity.user_id)
    return identity


def _create_account(claims: Mapping[str, Any], roles: Iterable[Role]) -> SingleSignOnIdentity:
    """Runs in the caller's transaction. Raises `AccessRefused`."""
    email = _read_email(claims)
    user = User(username=email, email=email, is_staff=True)
    user.set_unusable_password()
    with recording(
        StaffActionType.SSO_ACCOUNT_CREATED, ObjectType.STAFF, email, actor=ACTOR, reason=""
    ) as entry:
        is_name_taken = User.objects.filter(username__iexact=email).exists()
        if is_name_taken or is_mailbox_taken(email) or not insert_unless_exists(user):
            identity = _lock_identity(claims)  # made by a sign-in at the same moment
            raise AccessRefused(ACCOUNT_EXISTS if identity is None else _("Sign in again."))
        user.groups.set(groups_of_roles(roles))
        created: SingleSignOnIdentity = SingleSignOnIdentity.objects.create(
            user=user, name="single sign-on", issuer=settings.OIDC_ISSUER, subject=claims["sub"]
        )
        entry.after = {"roles": sorted(roles), "email": email, "subject": claims["sub"]}
    return created


def _read_email(claims: Mapping[str, Any]) -> str:
    """Raises `AccessRefused`."""
    email = claims.get("email")
    is_verified = claims.get("email_verified") is True or settings.OIDC_EMAIL_TRUSTED
    if not is_verified or not isinstance(email, str) or not _ADDRESS.fullmatch(email.lower()):
        raise AccessRefused(NO_EMAIL)
    return email.lower()


def _follow_groups(user: User, roles: set[Role]) -> None:
    if set(user.groups.values_list("name", flat=True)) == {role.value for role in roles}:
        return
    with recording(
        StaffActionType.SSO_ROLES_SET, ObjectType.STAFF, user.get_username(), actor=ACTOR, reason=""
    ) as entry:
        replace_roles(user, roles, entry)
