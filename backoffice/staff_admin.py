"""Members of staff and the roles there are. Django's own pages for them would set passwords and hand out permissions
one by one; here roles are code, and what is done about a person has a reason."""

from typing import Any, TypeVar

from django import forms
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backoffice.operation_pages import OperableAdmin, ReasonForm, Shown, StaffOperation
from common.admin import ReadOnlyAdmin, flag_column
from staff import second_factor, staff
from staff.roles import Permission, Role

T = TypeVar("T")
ROLES = {
    Role.VIEWER: gettext_lazy("Viewer: looks at payments, orders, refunds and sagas"),
    Role.SUPPORT: gettext_lazy("Support: also sees requests, keys; asks channels, cancels the unpaid, tests webhooks"),
    Role.FINANCE: gettext_lazy("Finance: refunds, captures, exports, approves"),
    Role.OPERATOR: gettext_lazy("Operator: operates sagas, resolves, approves, changes routing, sees the machinery"),
    Role.ADMIN: gettext_lazy("Admin: everything, and merchants, keys, staff and the audit"),
}  # fmt: skip


class RolesForm(ReasonForm):
    roles = forms.MultipleChoiceField(
        label=gettext_lazy("Roles"), choices=list(ROLES.items()), required=False
    )


class InviteForm(RolesForm):
    username = forms.CharField(label=gettext_lazy("User name"), max_length=150)
    email = forms.EmailField(label=gettext_lazy("Email"), max_length=254)
    in_order = ("username", "email", "roles")


def _invite(actor: User, _row: None, given: dict[str, Any]) -> Shown:
    given = {**given, "roles": [Role(role) for role in given["roles"]]}
    return _hand_over(staff.invite(actor=actor.get_username(), **given))


def _send_link(actor: User, user: User, given: dict[str, Any]) -> Shown:
    return _hand_over(staff.send_link(user_id=user.pk, actor=actor.get_username(), **given))


def _hand_over(invitation: staff.Invitation) -> Shown:
    if not invitation.link:
        return Shown(
            title=_("A link for %(name)s") % {"name": invitation.user.get_username()},
            rows=[(_("Sent to"), invitation.user.email)],
            advice=_("Nobody else has seen it. It is good once, for a day."),
        )
    return Shown(
        title=_("A link for %(name)s") % {"name": invitation.user.get_username()},
        rows=[(_("Link"), invitation.link)],
        advice=_("Hand it over in person or by a channel you trust. It is good once, for a day, and not shown again."),
    )  # fmt: skip


def _set_roles(actor: User, user: User, given: dict[str, Any]) -> None:
    roles = [Role(role) for role in given["roles"]]
    staff.set_roles(user_id=user.pk, roles=roles, actor=actor.get_username(), reason=given["reason"])


def _deactivate(actor: User, user: User, given: dict[str, Any]) -> None:
    staff.set_active(user_id=user.pk, active=False, actor=actor.get_username(), **given)


def _reactivate(actor: User, user: User, given: dict[str, Any]) -> None:
    staff.set_active(user_id=user.pk, active=True, actor=actor.get_username(), **given)


def _reset_second_factor(actor: User, user: User, given: dict[str, Any]) -> None:
    staff.reset_second_factor(user_id=user.pk, actor=actor.get_username(), **given)


def _is_below(user: User) -> str:
    return str(staff.ABOVE_ALL) if user.is_superuser else ""


def _may_be_deactivated(user: User) -> str:
    return _is_below(user) or ("" if user.is_active else _("This account is not active."))


def _may_be_reactivated(user: User) -> str:
    return _is_below(user) or (_("This account is active.") if user.is_active else "")


def _may_lose_second_factor(user: User) -> str:
    return _is_below(user) or (
        "" if second_factor.is_enrolled(user) else _("This person has no second factor.")
    )


def _roles_now(user: User) -> dict[str, Any]:
    return {"roles": list(user.groups.values_list("name", flat=True))}


OPERATIONS = (
    StaffOperation(
        "invite",
        gettext_lazy("Invite"),
        gettext_lazy("Makes an account, and a link with which the person chooses a password."),
        Permission.MANAGE_STAFF,
        _invite,
        InviteForm,
        on_object=False,
    ),
    StaffOperation(
        "roles",
        gettext_lazy("Set roles"),
        gettext_lazy("Replaces the roles of this person, from the next page on."),
        Permission.MANAGE_STAFF,
        _set_roles,
        RolesForm,
        why_not=_is_below,
        initial=_roles_now,
    ),
    StaffOperation(
        "deactivate",
        gettext_lazy("Deactivate"),
        gettext_lazy("Ends all sessions of this person at once. Their history stays."),
        Permission.MANAGE_STAFF,
        _deactivate,
        why_not=_may_be_deactivated,
    ),
    StaffOperation(
        "reactivate",
        gettext_lazy("Reactivate"),
        gettext_lazy("Lets this person sign in again, with the same password and second factor."),
        Permission.MANAGE_STAFF,
        _reactivate,
        why_not=_may_be_reactivated,
    ),
    StaffOperation(
        "send_link",
        gettext_lazy("New link"),
        gettext_lazy("Ends the password of this person, and makes a link to choose a new one."),
        Permission.MANAGE_STAFF,
        _send_link,
        why_not=_is_below,
    ),
    StaffOperation(
        "reset_second_factor",
        gettext_lazy("Reset second factor"),
        gettext_lazy("For a lost phone without recovery codes: the next sign-in enrols anew."),
        Permission.MANAGE_STAFF,
        _reset_second_factor,
        why_not=_may_lose_second_factor,
    ),
)

admin.site.unregister([User, Group])


@admin.register(User)
class StaffAdmin(OperableAdmin):
    operations = OPERATIONS
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
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

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
