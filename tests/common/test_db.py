"""What the database refused is known by the name of the constraint, not by the words of the error."""

import pytest
from django.db import IntegrityError, connection, transaction

from common.db import violates

pytestmark = pytest.mark.django_db

INSERT = "INSERT INTO things (amount, name) VALUES (%s, %s)"


@pytest.fixture(autouse=True)
def things() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """CREATE TEMP TABLE things (
                amount int CONSTRAINT amount_positive CHECK (amount > 0), name text) ON COMMIT DROP"""
        )
        cursor.execute("CREATE UNIQUE INDEX name_once ON things (name) WHERE amount < 100")
        cursor.execute(INSERT, [1, "amount_positive"])


@pytest.mark.parametrize(
    ("row", "broken", "kept"),
    [
        pytest.param([2, "amount_positive"], "name_once", "amount_positive", id="unique-index"),
        pytest.param([0, "name_once"], "amount_positive", "name_once", id="check"),
    ],
)
def test_a_violated_constraint_is_known_by_its_name(row: list[object], broken: str, kept: str) -> None:
    """The value that was refused is the other constraint's name, and stands in the error's text."""
    with pytest.raises(IntegrityError) as refused, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(INSERT, row)
    assert kept in str(refused.value)
    assert violates(refused.value, broken)
    assert not violates(refused.value, kept)


def test_what_came_from_no_database_violates_nothing() -> None:
    assert not violates(IntegrityError("name_once"), "name_once")
