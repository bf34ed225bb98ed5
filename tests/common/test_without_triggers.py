"""A test that fails while triggers are off does not leave them off for the next tests."""

import pytest
from django.db import DatabaseError, connection

from tests.support import clean_database
from tests.support.triggers import without_triggers


def role() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW session_replication_role")
        (value,) = cursor.fetchone()
    return str(value)


@pytest.mark.django_db(transaction=True)
def test_triggers_are_on_after_a_failed_write() -> None:
    with pytest.raises(DatabaseError), without_triggers() as cursor:
        cursor.execute("SELECT 1 / 0")
    assert role() == "origin"


@pytest.mark.django_db
def test_triggers_are_on_again_inside_a_transaction_of_the_test() -> None:
    with without_triggers():
        assert role() == "replica"
    assert role() == "origin"


@pytest.mark.django_db(transaction=True)
def test_a_test_that_leaves_triggers_off_fails() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
    with pytest.raises(AssertionError, match="left at replica"):
        clean_database.restore()
    assert role() == "origin"
