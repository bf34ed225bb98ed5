"""The transfer and every leg of each posting function, exact to the account and the cent. See `docs/LEDGER.md`."""

import uuid
from dataclasses import replace
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from fees.models import FeePlan
from ledger import payout_postings, postings
from ledger.chart import LedgerAccountKind as Kind
from ledger.models import LedgerTransfer, TransferEntry, TransferEvent
from ledger.posting import PostingSubject
from ledger.postings import HoldingAccount
from ledger.statement_postings import StatementSubject, build_correction, build_fee, build_payout
from tests.gateway.test_channel_accounts import add_account
from tests.support.fixtures import new_merchant

pytestmark = pytest.mark.django_db

OWN, CONNECTED = "own", "connected"
Legs = set[tuple[str, str, str, str, str, int]]


@pytest.fixture
def subject() -> PostingSubject:
    merchant = new_merchant().merchant.pk
    return PostingSubject(uuid.uuid4(), "PAY-1", uuid.uuid4(), merchant, "test", "USD")


@pytest.fixture
def place(subject: PostingSubject) -> HoldingAccount:
    """A connected account of the merchant."""
    return HoldingAccount("simulator", add_account(subject.merchant_id).id)


def last() -> LedgerTransfer:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
    return LedgerTransfer.objects.order_by("created_at", "id").last()


def legs(transfer: LedgerTransfer) -> Legs:
    """Returns phase, direction, kind of account, owner, holding account and amount of each leg."""
    found = [
        (
            entry.phase,
            entry.direction,
            entry.account.kind,
            "merchant" if entry.account.merchant_id else "platform",
            CONNECTED if entry.account.channel_account_id else OWN,
            entry.amount_minor,
        )
        for entry in TransferEntry.objects.filter(transfer=transfer).select_related("account")
    ]
    assert len(found) == len(set(found)) == transfer.leg_count
    return set(found)


def describe(transfer: LedgerTransfer) -> tuple[str, str, int, bool]:
    return transfer.event, transfer.kind, transfer.sequence, transfer.is_opening


def posted(*moves: tuple[str, str, str, int], phase: str = "posted") -> Legs:
    """Builds the expected legs from `debit, credit, place, amount` for each pair."""
    return {
        (phase, direction, kind, owner(kind), place, amount)
        for debit, credit, place, amount in moves
        for direction, kind in (("debit", debit), ("credit", credit))
    }


def owner(kind: str) -> str:
    return "platform" if kind in ("channel_receivable", "fee_income", "suspense") else "merchant"


CAPTURED = ("channel_receivable", "merchant_payable", CONNECTED)
REFUNDED = ("refunds", "channel_receivable", CONNECTED)


@pytest.mark.parametrize("is_opening", [False, True])
def test_a_payment_with_both_fees(subject: PostingSubject, place: HoldingAccount, is_opening: bool) -> None:
    postings.post_payment(
        event=TransferEvent.PAYMENT_CAPTURED,
        subject=subject,
        holding_account=place,
        amount_minor=700,
        captured_minor=1_000,
        application_fee_minor=50,
        platform_fee_minor=20,
        fee_basis={"rate": None},
        is_opening=is_opening,
    )
    found = last()
    assert describe(found) == ("payment.captured", "single", 1_000, is_opening)
    assert found.fee_basis == {"rate": None}
    assert (found.subject_id, found.source, found.payment_id) == (subject.id, "PAY-1", subject.payment_id)
    assert (found.merchant_id, found.environment, found.currency) == (subject.merchant_id, "test", "USD")
    assert legs(found) == posted(
        (*CAPTURED, 700),
        ("application_fees", "channel_receivable", CONNECTED, 50),
        ("channel_receivable", "fee_income", OWN, 50),
        ("platform_fees", "fee_income", CONNECTED, 20),
    )


def test_a_payment_without_fees_has_two_legs(subject: PostingSubject, place: HoldingAccount) -> None:
    postings.post_payment(
        event=TransferEvent.PAYMENT_LATE,
        subject=subject,
        holding_account=place,
        amount_minor=1,
        captured_minor=1,
    )
    found = last()
    assert describe(found) == ("payment.late", "single", 1, False)
    assert LedgerTransfer.objects.filter(pk=found.pk, fee_basis__isnull=True).exists(), (
        "NULL, not the JSON null"
    )
    assert legs(found) == posted((*CAPTURED, 1))
    accounts = [entry.account for entry in TransferEntry.objects.select_related("account")]
    assert {account.merchant_id for account in accounts} == {None, subject.merchant_id}
    assert {(a.channel, a.environment, a.currency) for a in accounts} == {("simulator", "test", "USD")}
    assert {account.channel_account_id for account in accounts} == {place.channel_account_id}


def test_rows_are_inserted_with_the_transfer(subject: PostingSubject, place: HoldingAccount) -> None:
    beside = FeePlan(name="Beside")
    assert beside._state.adding
    postings.post_payment(
        event=TransferEvent.PAYMENT_CAPTURED,
        subject=subject,
        holding_account=place,
        amount_minor=1,
        captured_minor=1,
        rows=[beside],
    )
    assert FeePlan.objects.filter(pk=beside.pk).exists()
    assert not beside._state.adding


@pytest.mark.parametrize("is_opening", [False, True])
def test_a_refund_is_reserved_and_posted(
    subject: PostingSubject, place: HoldingAccount, is_opening: bool
) -> None:
    postings.post_refund_reservation(
        subject=subject, holding_account=place, amount_minor=400, is_opening=is_opening
    )
    pending = last()
    assert describe(pending) == ("refund.requested", "pending", 0, is_opening)
    assert pending.pending_id is None
    assert legs(pending) == posted((*REFUNDED, 400), phase="pending")
    postings.post_refund(
        subject=subject,
        holding_account=place,
        amount_minor=400,
        application_fee_minor=30,
        platform_fee_minor=7,
        is_opening=is_opening,
    )
    found = last()
    assert describe(found) == ("refund.succeeded", "post", 0, is_opening)
    assert found.pending_id == pending.id
    assert legs(found) == posted(
        (*REFUNDED, 400),
        ("channel_receivable", "application_fees", CONNECTED, 30),
        ("fee_income", "channel_receivable", OWN, 30),
        ("fee_income", "platform_fees", CONNECTED, 7),
    ) | posted(("channel_receivable", "refunds", CONNECTED, 400), phase="pending")


@pytest.mark.parametrize("is_opening", [False, True])
def test_a_refund_fails_and_succeeds_after_all_and_is_returned(
    subject: PostingSubject, place: HoldingAccount, is_opening: bool
) -> None:
    postings.post_refund_reservation(subject=subject, holding_account=place, amount_minor=400)
    pending = last()
    postings.void_refund(subject=subject, is_opening=is_opening)
    void = last()
    assert describe(void) == ("refund.failed", "void", 0, is_opening)
    assert void.pending_id == pending.id
    assert legs(void) == posted(("channel_receivable", "refunds", CONNECTED, 400), phase="pending")
    postings.post_refund_after_all(
        subject=subject,
        holding_account=place,
        amount_minor=300,
        application_fee_minor=30,
        platform_fee_minor=7,
        is_opening=is_opening,
    )
    found = last()
    assert describe(found) == ("refund.succeeded", "single", 1, is_opening)
    assert found.pending_id is None
    assert legs(found) == posted(
        (*REFUNDED, 300),
        ("channel_receivable", "application_fees", CONNECTED, 30),
        ("fee_income", "channel_receivable", OWN, 30),
        ("fee_income", "platform_fees", CONNECTED, 7),
    )
    postings.reverse_refund(subject=subject, is_opening=is_opening)
    reversed_ = last()
    assert describe(reversed_) == ("refund.reversed", "single", 1, is_opening)
    assert legs(reversed_) == {
        (phase, "credit" if direction == "debit" else "debit", *rest)
        for phase, direction, *rest in legs(found)
    }
    postings.post_refund_after_all(subject=subject, holding_account=place, amount_minor=300)
    assert describe(last()) == ("refund.succeeded", "single", 2, False)
    postings.reverse_refund(subject=subject)
    assert describe(last()) == ("refund.reversed", "single", 2, False)


def test_fees_of_a_refund_default_to_nothing(subject: PostingSubject, place: HoldingAccount) -> None:
    postings.post_refund_reservation(subject=subject, holding_account=place, amount_minor=5)
    assert last().is_opening is False
    postings.post_refund(subject=subject, holding_account=place, amount_minor=5)
    found = last()
    assert found.is_opening is False
    assert {leg for leg in legs(found) if leg[0] == "posted"} == posted((*REFUNDED, 5))
    postings.reverse_refund(subject=subject)
    postings.post_refund_after_all(subject=subject, holding_account=place, amount_minor=5)
    assert legs(last()) == posted((*REFUNDED, 5))
    failed = replace(subject, id=uuid.uuid4())
    postings.post_refund_reservation(subject=failed, holding_account=place, amount_minor=5)
    postings.void_refund(subject=failed)
    assert describe(last()) == ("refund.failed", "void", 0, False)


def test_a_refund_from_before_the_ledger_is_posted_alone(
    subject: PostingSubject, place: HoldingAccount
) -> None:
    postings.post_refund(subject=subject, holding_account=place, amount_minor=5)
    assert describe(last()) == ("refund.succeeded", "single", 0, False)
    assert legs(last()) == posted((*REFUNDED, 5))
    postings.void_refund(subject=replace(subject, id=uuid.uuid4()))
    assert LedgerTransfer.objects.count() == 1, "nothing is voided that was never pending"


@pytest.mark.parametrize(
    ("amount", "suspense", "event", "moves"),
    [
        (9, 0, "dispute.withdrawn", [("disputes", "debit", 9), ("channel_receivable", "credit", 9)]),
        (
            9,
            4,
            "dispute.withdrawn",
            [("disputes", "debit", 5), ("suspense", "debit", 4), ("channel_receivable", "credit", 9)],
        ),
        (1, 1, "dispute.withdrawn", [("suspense", "debit", 1), ("channel_receivable", "credit", 1)]),
        (-1, 0, "dispute.reinstated", [("disputes", "credit", 1), ("channel_receivable", "debit", 1)]),
        (
            -9,
            -4,
            "dispute.reinstated",
            [("disputes", "credit", 5), ("suspense", "credit", 4), ("channel_receivable", "debit", 9)],
        ),
        (0, 4, "dispute.rebooked", [("disputes", "credit", 4), ("suspense", "debit", 4)]),
        (0, -4, "dispute.rebooked", [("disputes", "debit", 4), ("suspense", "credit", 4)]),
    ],
)
@pytest.mark.parametrize("is_opening", [False, True])
def test_a_dispute(
    subject: PostingSubject,
    place: HoldingAccount,
    amount: int,
    suspense: int,
    event: str,
    moves: list[tuple[str, str, int]],
    is_opening: bool,
) -> None:
    postings.post_dispute(
        subject=subject,
        holding_account=place,
        amount_minor=amount,
        suspense_minor=suspense,
        is_opening=is_opening,
    )
    assert describe(last()) == (event, "single", 0, is_opening)
    assert legs(last()) == {
        ("posted", direction, kind, owner(kind), CONNECTED, minor) for kind, direction, minor in moves
    }


def test_events_of_one_dispute_are_counted_together(subject: PostingSubject, place: HoldingAccount) -> None:
    for amount, suspense in ((9, 0), (0, 4), (-9, -4), (9, 0)):
        postings.post_dispute(
            subject=subject, holding_account=place, amount_minor=amount, suspense_minor=suspense
        )
    found = LedgerTransfer.objects.order_by("sequence").values_list("event", "sequence", "is_opening")
    assert list(found) == [
        ("dispute.withdrawn", 0, False),
        ("dispute.rebooked", 1, False),
        ("dispute.reinstated", 2, False),
        ("dispute.withdrawn", 3, False),
    ]


def test_suspense(subject: PostingSubject, place: HoldingAccount) -> None:
    own: dict[str, Any] = {"holding_account": place, "amount_minor": 4}
    rows = [
        (postings.add_to_suspense, {}, "suspense.added", ("suspense", "channel_receivable")),
        (
            postings.release_from_suspense,
            {"is_charged": False},
            "suspense.released",
            ("channel_receivable", "suspense"),
        ),
        (postings.charge_suspense, {}, "suspense.charged", ("refunds", "suspense")),
        (
            postings.release_from_suspense,
            {"is_charged": True},
            "suspense.returned",
            ("channel_receivable", "refunds"),
        ),
    ]
    for post, options, event, (debit, credit) in rows:
        post(subject=replace(subject, id=uuid.uuid4()), **own, **options)
        assert describe(last()) == (event, "single", 0, False)
        assert legs(last()) == posted((debit, credit, CONNECTED, 4))


def test_the_rest_of_a_refund(subject: PostingSubject, place: HoldingAccount) -> None:
    postings.complete_refund(
        subject=subject, holding_account=place, amount_minor=4, application_fee_minor=2, platform_fee_minor=1
    )
    assert describe(last()) == ("refund.completed", "single", 0, False)
    assert legs(last()) == posted(
        (*REFUNDED, 4),
        ("channel_receivable", "application_fees", CONNECTED, 2),
        ("fee_income", "channel_receivable", OWN, 2),
        ("fee_income", "platform_fees", CONNECTED, 1),
    )
    postings.complete_refund(subject=replace(subject, id=uuid.uuid4()), holding_account=place, amount_minor=4)
    assert legs(last()) == posted((*REFUNDED, 4))


def test_an_event_is_posted_once(subject: PostingSubject, place: HoldingAccount) -> None:
    postings.add_to_suspense(subject=subject, holding_account=place, amount_minor=4)
    with pytest.raises(IntegrityError, match="ledger_event_once"), transaction.atomic():
        postings.add_to_suspense(subject=subject, holding_account=place, amount_minor=4)


PAID_OUT = {
    ("debit", "payouts", "bank", 9),
    ("credit", "platform_bank", "", 9),
}


def bank_legs(transfer: LedgerTransfer, phase: str) -> set[tuple[str, str, str, int]]:
    entries = TransferEntry.objects.filter(transfer=transfer, phase=phase).select_related("account")
    for entry in entries:
        assert (entry.account.merchant_id is None) is (entry.account.kind == "platform_bank")
        assert (entry.account.environment, entry.account.currency) == ("test", "USD")
        assert entry.account.channel_account_id is None
    return {
        (entry.direction, entry.account.kind, entry.account.channel, entry.amount_minor) for entry in entries
    }


def turned(moves: set[tuple[str, str, str, int]]) -> set[tuple[str, str, str, int]]:
    return {("credit" if direction == "debit" else "debit", *rest) for direction, *rest in moves}  # type: ignore[misc]


def test_a_payout_is_reserved_sent_returned_and_paid_after_all(subject: PostingSubject) -> None:
    payout_postings.request_payout(subject=subject, amount_minor=9)
    pending = last()
    assert describe(pending) == ("payout.requested", "pending", 0, False)
    assert bank_legs(pending, "pending") == PAID_OUT
    payout_postings.post_payout(subject=subject, amount_minor=9)
    sent = last()
    assert (describe(sent), sent.pending_id) == (("payout.posted", "post", 0, False), pending.id)
    assert (bank_legs(sent, "posted"), bank_legs(sent, "pending")) == (PAID_OUT, turned(PAID_OUT))
    for number in range(2):
        payout_postings.return_payout(subject=subject, amount_minor=9)
        assert describe(last()) == ("payout.returned", "single", number, False)
        assert bank_legs(last(), "posted") == turned(PAID_OUT)
        payout_postings.post_payout_after_all(subject=subject)
        assert describe(last()) == ("payout.posted", "single", 1 + number, False)
        assert bank_legs(last(), "posted") == PAID_OUT


def test_a_canceled_payout_is_released(subject: PostingSubject) -> None:
    payout_postings.request_payout(subject=subject, amount_minor=9)
    pending = last()
    payout_postings.void_payout(subject=subject)
    assert (describe(last()), last().pending_id) == (("payout.canceled", "void", 0, False), pending.id)
    assert bank_legs(last(), "pending") == turned(PAID_OUT)


@pytest.mark.parametrize("amount", [4, -4])
def test_lines_of_a_statement(place: HoldingAccount, amount: int) -> None:
    payment_id = uuid.uuid4()
    subject = StatementSubject(uuid.uuid4(), "L" * 70, "test", "USD", place, payment_id)
    transfers = {
        "channel_fees": build_fee(subject, amount),
        "platform_bank": build_payout(subject, amount),
        "rounding": build_correction(subject, Kind.ROUNDING, amount, sequence=3),
    }
    events = ["channel.fee", "channel.payout", "statement.corrected"]
    assert [each.event.value for each in transfers.values()] == events
    assert [each.sequence for each in transfers.values()] == [0, 0, 3]
    for kind, transfer in transfers.items():
        own = transfer.subject
        assert (own.id, own.source, own.payment_id) == (subject.id, "L" * 64, payment_id)
        assert (own.merchant_id, own.environment, own.currency) == (None, "test", "USD")
        debit, credit = transfer.legs
        assert (debit.direction.value, credit.direction.value) == ("debit", "credit")
        assert (debit.amount_minor, credit.amount_minor) == (4, 4)
        taking, holding = (debit, credit) if amount > 0 else (credit, debit)
        assert (taking.account.kind.value, holding.account.kind.value) == (kind, "channel_receivable")
        for leg in (taking, holding):
            account, is_bank = leg.account, leg.account.kind == Kind.PLATFORM_BANK
            assert (account.merchant_id, account.environment, account.currency) == (None, "test", "USD")
            assert (account.channel, account.channel_account_id) == (
                ("", None) if is_bank else ("simulator", place.channel_account_id)
            )
