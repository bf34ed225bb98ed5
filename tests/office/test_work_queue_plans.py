"""The work queue reads what it shows, however many items are open and however many were settled. Rows and blocks are
counted, not time: `benchmarks/work_queue.py` measures a million payments."""

import uuid
from typing import Final

import pytest
from django.db import connection
from django.db.backends.utils import CursorWrapper

from backoffice.work_queue.models import ItemKind
from backoffice.work_queue.open_items import MAX_SHOWN, QueueFilter, build_list_statement, build_parameters
from gateway.models import Payment, PaymentReview, ReviewCode
from tests.office.test_second_person import make_saga_in_review
from tests.support.plans import blocks_of, looked_at, scans, wait_for_autovacuum
from tests.support.signing import SignedClient
from tests.support.triggers import without_triggers

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

OPEN: Final = 2_000  # and as many that were settled
# Each shown item is one row of its source, and reads its payment, a refund and its assignee.
MOST_BLOCKS: Final = 2 * MAX_SHOWN * 12


def test_reviews_and_sagas_are_read_by_their_age(client: SignedClient) -> None:
    saga = make_saga_in_review(client, 5_000)
    payment = Payment.objects.get(payment_no=saga.business_id)
    review = PaymentReview.objects.create(payment=payment, code=ReviewCode.MISMATCH, text="differs")
    age = "now() - n * interval '1 second'"
    with without_triggers() as cursor:
        _copy(cursor, "saga_instances", saga.pk, {"updated_at": age, "needs_attention": f"n <= {OPEN}"})
        settled = f"CASE WHEN n > {OPEN} THEN now() END"
        _copy(
            cursor, "payment_reviews", review.pk, {"opened_at": age, "subject": "n", "resolved_at": settled}
        )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE payment_reviews, saga_instances, payments, work_items")
    wait_for_autovacuum()
    chosen = QueueFilter([ItemKind.PAYMENT, ItemKind.SAGA])
    statement, parameters = build_list_statement(chosen), build_parameters(chosen)
    scans(statement, parameters)  # the first scan marks the dead index entries of earlier tests, once
    found = scans(statement, parameters)
    assert looked_at(found, "payment_reviews") <= MAX_SHOWN
    assert looked_at(found, "saga_instances") <= MAX_SHOWN
    assert blocks_of(found) <= MOST_BLOCKS


def _copy(cursor: CursorWrapper, table: str, row_id: uuid.UUID, changed: dict[str, str]) -> None:
    """Copies a row for n from 1 to twice OPEN, with other values in some columns."""
    cursor.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_name = %s AND is_generated = 'NEVER'",
        [table],
    )
    columns = [name for (name,) in cursor.fetchall()]
    values = {"id": "uuidv7()", **changed}
    cursor.execute(
        f"INSERT INTO {table} ({', '.join(columns)})"
        f" SELECT {', '.join(values.get(name, f'one.{name}') for name in columns)}"
        f" FROM (SELECT * FROM {table} WHERE id = %s) AS one, generate_series(1, {2 * OPEN}) AS n",
        [row_id],
    )
