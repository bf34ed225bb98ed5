"""The pages of staff accounts and roles.

Django's own pages would set passwords and grant single permissions. Here roles are code, and each action on an account
requires a reason.
"""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backoffice.actions.admin import ActionsAdmin
from backoffice.actions.declaration import ActionTarget, AdminAction, ReasonForm, ShownOnce
from common.admin import ReadOnlyAdmin, flag_column
from staff import accounts, second_factor, sso_accounts
from staff.roles import Permission, Role
from staff.superusers import SUPERUSER_REFUSED

ROLES = {
    Role.VIEWER: gettext_lazy("Viewer: views payments, orders, refunds and sagas"),
    Role.SUPPORT: gettext_lazy("Support: views requests and keys, queries channels, cancels payments, tests webhooks"),
    Role.FINANCE: gettext_lazy("Finance: refunds, captures, exports and approves"),
    Role.OPERATOR: gettext_lazy("Operator: operates sagas, resolves reviews, approves, manages routing"),
    Role.ADMIN: gettext_lazy("Admin: all permissions, including merchants, keys, staff and the audit log"),
}  # fmt: skip


class RolesForm(ReasonForm):
    roles = forms.MultipleChoiceField(
        label=gettext_lazy("Roles"), choices=list(ROLES.items()), required=False
    )


class InviteForm(RolesForm):
    username = forms.CharField(label=gettext_lazy("User name"), max_length=150)
    email = forms.EmailField(label=gettext_lazy("Email"), max_length=254)
    field_order = ("username", "email", "roles", "reason")


def _invite(actor: User, _row: None, data: dict[str, Any]) -> ShownOnce:
    data = {**data, "roles": [Role(role) for role in data["roles"]]}
    return _show_link(accounts.invite_member(actor=actor.get_username(), **data))


def _send_link(actor: User, user: User, data: dict[str, Any]) -> ShownOnce:
    return _show_link(accounts.send_password_link(user_id=user.pk, actor=actor.get_username(), **data))


def _show_link(invitation: accounts.Invitation) -> ShownOnce:
    if not invitation.link:
        return ShownOnce(
            title=_("A link for %(name)s") % {"name": invitation.user.get_username()},
            rows=[(_("Sent to"), invitation.user.email)],
            advice=_("Nobody else has seen the link. It is valid once, for one day."),
        )
    return ShownOnce(
        title=_("A link for %(name)s") % {"name": invitation.user.get_username()},
        rows=[(_("Link"), invitation.link)],
        advice=_("Hand it over in person or through a trusted channel. It is valid once, for one day."),
    )  # fmt: skip


def _set_roles(actor: User, user: User, data: dict[str, Any]) -> None:
    roles = [Role(role) for role in data["roles"]]
    accounts.set_roles(user_id=user.pk, roles=roles, actor=actor.get_username(), reason=data["reason"])


def _deactivate(actor: User, user: User, data: dict[str, Any]) -> None:
    accounts.set_active(user_id=user.pk, active=False, actor=actor.get_username(), **data)


def _reactivate(actor: User, user: User, data: dict[str, Any]) -> None:
    accounts.set_active(user_id=user.pk, active=True, actor=actor.get_username(), **data)


def _reset_second_factor(actor: User, user: User, data: dict[str, Any]) -> None:
    accounts.reset_second_factor(user_id=user.pk, actor=actor.get_username(), **data)


def _unlink(actor: User, user: User, data: dict[str, Any]) -> None:
    sso_accounts.unlink(user_id=user.pk, actor=actor.get_username(), **data)


def _find_unlink_obstacle(user: User) -> str:
    return "" if sso_accounts.is_linked(user) else str(sso_accounts.NOT_LINKED)


def _find_superuser_obstacle(user: User) -> str:
    return str(SUPERUSER_REFUSED) if user.is_superuser else ""


def _find_deactivate_obstacle(user: User) -> str:
    return _find_superuser_obstacle(user) or ("" if user.is_active else _("This account is not active."))


def _find_reactivate_obstacle(user: User) -> str:
    return _find_superuser_obstacle(user) or (_("This account is active.") if user.is_active else "")


def _find_reset_obstacle(user: User) -> str:
    return _find_superuser_obstacle(user) or (
        "" if second_factor.is_enrolled(user) else _("This person has no second factor.")
    )


def _current_roles(user: User) -> dict[str, Any]:
    return {"roles": list(user.groups.values_list("name", flat=True))}


STAFF_ACTIONS = (
    AdminAction(
        "invite",
        gettext_lazy("Invite"),
        gettext_lazy("Creates an account and a link with which the person sets a password."),
        Permission.MANAGE_STAFF,
        _invite,
        InviteForm,
        target=ActionTarget.LIST,
    ),
    AdminAction(
        "roles",
        gettext_lazy("Set roles"),
        gettext_lazy("Replaces the roles of this person. Takes effect on their next page."),
        Permission.MANAGE_STAFF,
        _set_roles,
        RolesForm,
        find_obstacle=_find_superuser_obstacle,
        initial=_current_roles,
    ),
    AdminAction(
        "deactivate",
        gettext_lazy("Deactivate"),
        gettext_lazy("Ends all sessions of this person at once. Their entries in the audit log stay."),
        Permission.MANAGE_STAFF,
        _deactivate,
        find_obstacle=_find_deactivate_obstacle,
    ),
    AdminAction(
        "reactivate",
        gettext_lazy("Reactivate"),
        gettext_lazy("Lets this person sign in again with the same password and second factor."),
        Permission.MANAGE_STAFF,
        _reactivate,
        find_obstacle=_find_reactivate_obstacle,
    ),
    AdminAction(
        "send_link",
        gettext_lazy("Create new link"),
        gettext_lazy("Invalidates the password of this person and creates a link to set a new one."),
        Permission.MANAGE_STAFF,
        _send_link,
        find_obstacle=_find_superuser_obstacle,
    ),
    AdminAction(
        "reset_second_factor",
        gettext_lazy("Reset second factor"),
        gettext_lazy(
            "For a lost phone without recovery codes. The person enrols a new one at the next sign-in."
        ),
        Permission.MANAGE_STAFF,
        _reset_second_factor,
        find_obstacle=_find_reset_obstacle,
    ),
    AdminAction(
        "unlink_single_sign_on",
        gettext_lazy("Unlink single sign-on"),
        gettext_lazy(
            "For a new account at the provider. Ends this person's access until they have a password."
        ),
        Permission.MANAGE_STAFF,
        _unlink,
        find_obstacle=_find_unlink_obstacle,
    ),
)

admin.site.unregister([User, Group])


@admin.register(User)
class StaffAdmin(ActionsAdmin):
    staff_actions = STAFF_ACTIONS
    superuser = flag_column("is_superuser", gettext_lazy("superuser"))
    list_display = ("username", "email", "roles", "is_active", "superuser", "last_login")
    list_filter = ("is_active", "groups")
    search_fields = ("=username", "=email")
    search_help_text = gettext_lazy("User name or email, in full.")
    fields = readonly_fields = (
        "username",
        "email",
        "roles",
        "is_active",
        "is_superuser",
        "last_login",
        "date_joined",
        "open_sessions",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    @admin.display(description=gettext_lazy("sessions"))
    def open_sessions(self, user: User) -> str:
        address = reverse("staff_sessions_of", args=[user.pk])
        return format_html('<a href="{}" class="underline">{}</a>', address, _("Show open sessions"))

    @admin.display(description=gettext_lazy("roles"))
    def roles(self, user: User) -> str:
        return ", ".join(sorted(group.name for group in user.groups.all()))


@admin.register(Group)
class RoleAdmin(ReadOnlyAdmin):
    list_display = ("name", "meaning")
    fields = ("name", "meaning", "permission_names")
    readonly_fields = ("meaning", "permission_names")

    @admin.display(description=gettext_lazy("meaning"))
    def meaning(self, group: Group) -> str:
        return str(ROLES.get(group.name, ""))  # type: ignore[call-overload]

    @admin.display(description=gettext_lazy("permissions"))
    def permission_names(self, group: Group) -> str:
        names = group.permissions.values_list("content_type__app_label", "codename")
        return ", ".join(sorted(f"{app}.{codename}" for app, codename in names))
