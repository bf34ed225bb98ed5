"""Makes the groups in the database equal to the roles of roles.py, after every `migrate`.

A migration would not be enough: Django creates permissions only after `migrate`, groups must change when a role
changes, and a later model brings permissions that an earlier migration cannot name.
"""

from typing import Any

from django.contrib.auth.models import Group, Permission
from django.db import transaction

from staff.roles import ROLE_PERMISSIONS


def sync_groups(**_signal: Any) -> None:
    """Creates the groups and sets their permissions. Idempotent. Skips a permission that does not exist yet, in the
    middle of a migration plan: the next run adds it."""
    ids = {
        f"{app}.{codename}": pk
        for pk, app, codename in Permission.objects.values_list("pk", "content_type__app_label", "codename")
    }
    granted = Group.permissions.through
    with transaction.atomic():
        Group.objects.bulk_create([Group(name=role) for role in ROLE_PERMISSIONS], ignore_conflicts=True)
        # Locked, because two instances may start at the same time.
        groups = Group.objects.select_for_update().in_bulk(list(ROLE_PERMISSIONS), field_name="name")
        wanted = {
            (groups[role].pk, ids[name])
            for role, names in ROLE_PERMISSIONS.items()
            for name in names
            if name in ids
        }
        grants = granted.objects.filter(group__in=list(groups.values()))
        existing = set(grants.values_list("group_id", "permission_id"))
        for group_id, permission_id in existing - wanted:
            grants.filter(group_id=group_id, permission_id=permission_id).delete()
        granted.objects.bulk_create(
            [
                granted(group_id=group, permission_id=permission)
                for group, permission in sorted(wanted - existing)
            ]
        )
