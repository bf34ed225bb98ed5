"""System checks: refuse to start in production without a second factor for staff, and with a role that is not one."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error

from staff.roles import Role


def check_second_factor_required(**_kwargs: Any) -> list[CheckMessage]:
    if settings.STAFF_OTP_REQUIRED or settings.DEBUG or settings.LOCAL_STACK:
        return []
    return [
        Error(
            "STAFF_OTP_REQUIRED=0 lets staff move money with a password alone.",
            hint="Unset STAFF_OTP_REQUIRED. On a laptop, set LOCAL_STACK=1.",
            id="access.E001",
        )
    ]


def check_group_roles(**_kwargs: Any) -> list[CheckMessage]:
    roles = {role.value for role in Role}
    return [
        Error(
            f"OIDC_GROUP_ROLES maps the group {group!r} to {role!r}, which is not a role.",
            hint=f"The roles are: {', '.join(sorted(roles))}. Nobody becomes a superuser by single sign-on.",
            id="access.E002",
        )
        for group, role in settings.OIDC_GROUP_ROLES.items()
        if role not in roles
    ]
