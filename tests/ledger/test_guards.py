"""The database refuses invalid postings, which our code never makes."""

import uuid
from collections.abc import Sequence

import pytest
from django.db import IntegrityError, connection, transaction

from ledger.chart import AccountIdentity, LedgerAccountKind
from ledger.models import EntryDirection, LedgerTransfer, TransferEvent, TransferKind
from ledger.posting import Leg, PostingSubject, Transfer, post_transfer
from merchants.services import NewMerchant
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def subject(acme: NewMerchant) -> PostingSubject:
    return PostingSubject(uuid.uuid4(), "PAY-1", uuid.uuid4(), acme.merchant.pk, "test", "USD")


def legs(
    subject: PostingSubject, *amounts: int, currency: str = "USD", merchant: object = None
) -> Sequence[Leg]:
    """A positive amount is a debit."""
    return [
        Leg(
            AccountIdentity(
                list(LedgerAccountKind)[number],
                subject.environment,
                currency,
                merchant or subject.merchant_id,
                "simulator",
                None,
            ),
            EntryDirection.DEBIT if amount > 0 else EntryDirection.CREDIT,
            abs(amount),
        )
        for number, amount in enumerate(amounts)
    ]


def post(subject: PostingSubject, given: Sequence[Leg], **changes: object) -> None:
    with transaction.atomic():
        post_transfer(Transfer(event=TransferEvent.PAYMENT_CAPTURED, subject=subject, legs=given, **changes))


def execute(sql: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)


def test_a_balanced_transfer_is_accepted(subject: PostingSubject) -> None:
    post(subject, legs(subject, 10, -7, -3))
    assert LedgerTransfer.objects.get().leg_count == 3


@pytest.mark.parametrize("amounts", [(10, -9), (10, 10), (-1, -1), (10,)])
def test_a_transfer_that_does_not_balance_is_refused(subject: PostingSubject, amounts: Sequence[int]) -> None:
    with pytest.raises(IntegrityError, match=r"does not balance|ledger_transfer_has_legs"):
        post(subject, legs(subject, *amounts))


def test_each_currency_balances(subject: PostingSubject) -> None:
    with pytest.raises(IntegrityError, match="does not balance"):
        post(subject, [legs(subject, 10)[0], legs(subject, 1, -10, currency="EUR")[1]])


def test_no_entry_of_another_merchant(subject: PostingSubject, other_client: SignedClient) -> None:
    with pytest.raises(IntegrityError):
        post(subject, legs(subject, 10, -10, merchant=uuid.uuid4()))


def test_a_transfer_without_entries_is_refused(subject: PostingSubject) -> None:
    with pytest.raises(IntegrityError, match="does not balance"):
        LedgerTransfer.objects.create(
            event="payment.captured",
            subject_id=subject.id,
            kind="single",
            leg_count=2,
            environment="test",
            merchant_id=subject.merchant_id,
            currency="USD",
            payment_id=subject.payment_id,
            source="PAY-1",
            day="2026-01-01",
        )


def test_nothing_is_added_to_a_transfer_later(subject: PostingSubject) -> None:
    post(subject, legs(subject, 10, -10))
    with pytest.raises(IntegrityError, match="does not balance"):
        execute(
            "INSERT INTO ledger_entries (transfer_id, leg, account_id, phase, direction, amount_minor)"
            " SELECT transfer_id, leg + 2, account_id, phase, direction, amount_minor FROM ledger_entries"
        )


def test_the_ledger_is_append_only(subject: PostingSubject, subtests: pytest.Subtests) -> None:
    post(subject, legs(subject, 10, -10))
    for table in ("ledger_accounts", "ledger_transfers", "ledger_entries"):
        column = "source" if table == "ledger_transfers" else "id"
        for sql in (
            f"UPDATE {table} SET {column} = {column}",
            f"DELETE FROM {table}",
            f"TRUNCATE {table} CASCADE",
        ):
            with subtests.test(sql), pytest.raises(IntegrityError, match="append-only"):
                execute(sql)


def test_a_pending_transfer_is_settled_once_and_wholly(subject: PostingSubject) -> None:
    requested, succeeded, failed = (
        TransferEvent.REFUND_REQUESTED,
        TransferEvent.REFUND_SUCCEEDED,
        TransferEvent.REFUND_FAILED,
    )
    given = legs(subject, 10, -10)
    with transaction.atomic():
        post_transfer(Transfer(event=requested, subject=subject, legs=given, kind=TransferKind.PENDING))
    wrong = LedgerTransfer.objects.get()
    with pytest.raises(IntegrityError, match="does not release"), transaction.atomic():
        execute_posting_of_half(subject, wrong)
    for event, kind in ((succeeded, TransferKind.POST), (failed, TransferKind.VOID)):
        transfer = Transfer(
            event=event,
            subject=subject,
            legs=given if kind == TransferKind.POST else (),
            kind=kind,
            inverts=requested,
        )
        if kind == TransferKind.POST:
            with transaction.atomic():
                post_transfer(transfer)
        else:
            with pytest.raises(IntegrityError, match="pending"), transaction.atomic():
                post_transfer(transfer)


def execute_posting_of_half(subject: PostingSubject, pending: LedgerTransfer) -> None:
    """A void that releases half of what is pending."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH transfer AS (
                INSERT INTO ledger_transfers (id, event, subject_id, sequence, kind, pending_id, leg_count, environment,
                    merchant_id, currency, payment_id, source, is_opening, day)
                SELECT gen_random_uuid(), 'refund.failed', subject_id, 0, 'void', id, 2, environment, merchant_id,
                    currency, payment_id, source, false, day FROM ledger_transfers WHERE id = %s RETURNING id
            )
            INSERT INTO ledger_entries (transfer_id, leg, account_id, phase, direction, amount_minor)
            SELECT transfer.id, leg, account_id, phase, CASE direction WHEN 'debit' THEN 'credit' ELSE 'debit' END, 5
            FROM ledger_entries CROSS JOIN transfer WHERE transfer_id = %s
            """,
            [pending.id, pending.id],
        )
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
