"""After a test that commits, the database is as `migrate` made it, without `post_migrate`."""

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, connection, connections, transaction

from audit.models import StaffAction
from merchants.models import Merchant
from tests.support import clean_database
from tests.support.fixtures import new_merchant

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


def migrated_rows() -> list[set[Any]]:
    return [
        set(Group.objects.values_list()),
        set(Group.permissions.through.objects.values_list()),
        set(Permission.objects.values_list()),
        set(ContentType.objects.values_list()),
    ]


def test_rows_of_a_test_are_deleted_and_migrated_rows_restored() -> None:
    before = migrated_rows()
    assert all(before)
    new_merchant()
    User.objects.create_user("ana").groups.set(Group.objects.all())
    StaffAction.objects.create(actor="a", action="x.y", object_type="x", object_id="1", reason="because")
    support = Group.objects.get(name="Support")
    support.permissions.clear()
    Group.objects.exclude(pk=support.pk).delete()
    made = ContentType.objects.create(app_label="audit", model="made_by_a_test")
    Permission.objects.create(content_type=made, codename="made_by_a_test", name="x")
    Permission.objects.filter(codename="view_merchant").update(name="another")

    clean_database.restore()

    assert migrated_rows() == before
    for model in (Merchant, User, StaffAction):
        assert not model.objects.exists()


def test_every_table_is_emptied_or_restored() -> None:
    """This includes tables without a model."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT prosrc FROM pg_proc WHERE proname = 'restore' AND pronamespace = %s::regnamespace",
                       [clean_database.SCHEMA])  # fmt: skip
        (source,) = cursor.fetchone()
    tables = set(connection.introspection.table_names()) - {clean_database.NOT_OF_TESTS}
    assert tables
    assert [table for table in sorted(tables) if f'DELETE FROM public."{table}"' not in source] == []


def test_a_table_that_grew_is_truncated() -> None:
    User.objects.bulk_create(User(username=str(n)) for n in range(clean_database.MANY_ROWS + 1))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE auth_user")
        clean_database.restore()
        cursor.execute("SELECT pg_relation_size('auth_user')")
        assert cursor.fetchone() == (0,)


def test_constraints_are_enforced_afterwards() -> None:
    """The clean-up turns them off for its own transaction only."""
    StaffAction.objects.create(actor="a", action="x.y", object_type="x", object_id="1", reason="because")
    clean_database.restore()
    StaffAction.objects.create(actor="a", action="x.y", object_type="x", object_id="1", reason="because")
    with pytest.raises(IntegrityError, match="append-only"):
        StaffAction.objects.all().delete()
    with pytest.raises(IntegrityError), transaction.atomic():
        Group.permissions.through.objects.create(group_id=-1, permission_id=-1)
    assert connections["simulator"].settings_dict["NAME"] == connection.settings_dict["NAME"]
