"""Keeps the groups of the database as roles.py decides.

It runs after every `migrate`, not in a migration alone: Django creates permissions only then, a group must follow
when its role changes, and a model of a later release brings permissions that no earlier migration could name.
"""

from typing import Any

from django.contrib.auth.models import Group, Permission
from django.db import transaction

from staff.roles import PERMISSIONS


def follow_roles(**_signal: Any) -> None:
    """Idempotent. A permission that does not exist yet, half-way through a migration plan, comes with the next run."""
    ids = {
        f"{app}.{codename}": pk
        for pk, app, codename in Permission.objects.values_list("pk", "content_type__app_label", "codename")
    }
    granted = Group.permissions.through
    with transaction.atomic():
        Group.objects.bulk_create([Group(name=role) for role in PERMISSIONS], ignore_conflicts=True)
        # Locked, so that two instances that start together take turns.
        groups = Group.objects.select_for_update().in_bulk(list(PERMISSIONS), field_name="name")
        wanted = {
            (groups[role].pk, ids[name])
            for role, names in PERMISSIONS.items()
            for name in names
            if name in ids
        }
        of_roles = granted.objects.filter(group__in=list(groups.values()))
        there = set(of_roles.values_list("group_id", "permission_id"))
        for group_id, permission_id in there - wanted:
            of_roles.filter(group_id=group_id, permission_id=permission_id).delete()
        granted.objects.bulk_create(
            [
                granted(group_id=group, permission_id=permission)
                for group, permission in sorted(wanted - there)
            ]
        )
