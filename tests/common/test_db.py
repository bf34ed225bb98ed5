"""A refused row is recognized by the constraint's name, not by the error's text. Rows are inserted in their order."""

import uuid

import pytest
from django.db import IntegrityError, connection, transaction

from common.db import build_inserts, violates
from events.models import OutboxEvent

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
def test_a_violated_constraint_is_recognized_by_its_name(row: list[object], broken: str, kept: str) -> None:
    """The refused value is the other constraint's name, so that the error's text contains it."""
    with pytest.raises(IntegrityError) as refused, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(INSERT, row)
    assert kept in str(refused.value)
    assert violates(refused.value, broken)
    assert not violates(refused.value, kept)


def test_an_error_without_a_database_violates_no_constraint() -> None:
    assert not violates(IntegrityError("name_once"), "name_once")


def test_rows_of_one_statement_are_inserted_first_to_last() -> None:
    """All transactions then lock keys in the same order, so that no deadlock can occur."""
    keys = ["first", "second", "third", "last"]
    events = [
        OutboxEvent(
            type="payment.created",
            ordering_key=key,
            merchant_id=uuid.uuid4(),
            environment="test",
            subject_id=uuid.uuid4(),
            data={},
        )
        for key in keys
    ]
    inserts = build_inserts(events)
    with connection.cursor() as cursor:
        cursor.execute(f"WITH {inserts.sql} SELECT", inserts.params)
    assert list(OutboxEvent.objects.order_by("id").values_list("ordering_key", flat=True)) == keys
