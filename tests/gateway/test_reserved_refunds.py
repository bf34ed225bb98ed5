"""The amounts that a refund reserves and settles, on the payment or on the attempt with a duplicate payment."""

import uuid
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from events.models import OutboxEvent
from gateway import state_machine
from gateway.models import Payment, PaymentAttempt, Refund
from gateway.polling_intervals import FIRST_POLL_SECONDS
from ledger.models import LedgerTransfer, TransferEntry
from tests.gateway.test_late_payments import banks, fail_over, pay_earlier_attempt, policy_park  # noqa: F401
from tests.support.fee_plans import give_plan
from tests.support.shop import paid
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


@pytest.fixture
def payment(client: SignedClient) -> Payment:
    """A payment of which 10,000 are captured."""
    return Payment.objects.get(payment_no=paid(client)["payment_no"])


def new_refund(payment: Payment, amount_minor: int, **changes: Any) -> Refund:
    return Refund(
        id=uuid.uuid4(),
        refund_no=f"REF-{uuid.uuid4().hex}",
        payment=payment,
        merchant_id=payment.merchant_id,
        environment=payment.environment,
        amount_minor=amount_minor,
        currency=payment.currency,
        channel=payment.channel,
        **changes,
    )


def money(row: Payment | PaymentAttempt) -> tuple[int, int]:
    """Returns the pending and the refunded amount of the payment."""
    row.refresh_from_db()
    if isinstance(row, Payment):
        return row.refund_pending_minor, row.refunded_minor
    return row.duplicate_pending_minor, row.duplicate_refunded_minor


def events_of(refund: Refund) -> list[str]:
    found = LedgerTransfer.objects.filter(subject_id=refund.id).order_by("created_at", "id")
    return list(found.values_list("event", flat=True))


@pytest.mark.parametrize("record", [state_machine.record_new_refund, state_machine.record_channel_refund])
def test_a_new_refund_reserves_its_amount_once(payment: Payment, record: Any) -> None:
    updated_at = payment.updated_at
    refund = new_refund(payment, 4_000)
    with transaction.atomic():
        record(refund=refund)
    assert money(payment) == (4_000, 0)
    assert payment.updated_at > updated_at
    stored = Refund.objects.get(id=refund.id)
    assert (stored.status, stored.amount_minor, stored.payment_id) == ("pending", 4_000, payment.id)
    assert events_of(refund) == ["refund.requested"]
    with pytest.raises(IntegrityError), transaction.atomic():
        record(refund=refund)
    assert money(payment) == (4_000, 0)


def test_a_reservation_is_of_one_payment(payment: Payment, client: SignedClient) -> None:
    other = Payment.objects.get(payment_no=paid(client)["payment_no"])
    for amount in (4_000, 500):
        with transaction.atomic():
            state_machine.record_new_refund(refund=new_refund(payment, amount))
    assert (money(payment), money(other)) == ((4_500, 0), (0, 0))


def reserved(payment: Payment, amount_minor: int, **changes: Any) -> Refund:
    refund = new_refund(payment, amount_minor, **changes)
    with transaction.atomic():
        state_machine.record_new_refund(refund=refund)
    return refund


def test_a_refund_settles_once_and_turns_the_reservation_into_money(payment: Payment) -> None:
    refund, other = reserved(payment, 4_000), reserved(payment, 1_000)
    known = Refund(id=refund.id, payment_id=payment.id)
    with transaction.atomic():
        assert state_machine.mark_refund_succeeded(refund=known, channel_refund_no="ch_1") is True
    assert (known.status, known.channel_refund_no, known.amount_minor) == ("succeeded", "ch_1", 4_000)
    assert known.settled_at is not None
    assert known.next_check_at is None
    assert (known.payment.id, known.payment.refunded_minor, known.payment.refund_pending_minor) == (
        payment.id,
        4_000,
        1_000,
    )
    assert money(payment) == (1_000, 4_000)
    assert events_of(refund) == ["refund.requested", "refund.succeeded"]
    assert OutboxEvent.objects.filter(type="refund.succeeded").count() == 1
    with transaction.atomic():
        assert state_machine.mark_refund_succeeded(refund=known, channel_refund_no="ch_2") is False
        assert state_machine.mark_refund_processing(refund=known, channel_refund_no="ch_2") is False
    assert money(payment) == (1_000, 4_000)
    assert Refund.objects.get(id=refund.id).channel_refund_no == "ch_1"
    assert Refund.objects.get(id=other.id).status == "pending"


def test_a_refund_gives_the_fee_back(client: SignedClient) -> None:
    give_plan()
    refund = reserved(Payment.objects.get(payment_no=paid(client)["payment_no"]), 10_000)
    with transaction.atomic():
        state_machine.mark_refund_succeeded(refund=refund, channel_refund_no="ch_1")
    fees = TransferEntry.objects.filter(transfer__subject_id=refund.id, account__kind="platform_fees")
    assert list(fees.values_list("direction", "amount_minor")) == [("credit", 320)]


def test_an_accepted_refund_is_queried_after_the_first_pause(payment: Payment) -> None:
    refund = reserved(payment, 4_000)
    with transaction.atomic():
        assert state_machine.mark_refund_processing(refund=refund, channel_refund_no="ch_1") is True
    stored = Refund.objects.get(id=refund.id)
    assert (stored.status, stored.channel_refund_no, stored.settled_at) == ("processing", "ch_1", None)
    assert (refund.status, refund.payment.id) == ("processing", payment.id)
    assert (stored.next_check_at - stored.updated_at).total_seconds() == FIRST_POLL_SECONDS
    assert money(payment) == (4_000, 0)
    with transaction.atomic():
        assert state_machine.mark_refund_processing(refund=refund, channel_refund_no="ch_2") is False
        assert state_machine.mark_refund_succeeded(refund=refund, channel_refund_no="ch_3") is True
    assert money(payment) == (0, 4_000)


def test_a_query_can_be_made_sooner_while_the_refund_is_open(payment: Payment) -> None:
    refund, other = reserved(payment, 4_000), reserved(payment, 1_000)
    for number, each in enumerate((refund, other)):
        with transaction.atomic():
            state_machine.mark_refund_processing(refund=each, channel_refund_no=f"ch_{number}")
    Refund.objects.update(check_count=7)
    before = Refund.objects.get(id=refund.id)
    assert state_machine.schedule_refund_query(refund=refund) is True
    after = Refund.objects.get(id=refund.id)
    assert after.next_check_at < before.next_check_at
    assert (after.check_count, after.updated_at > before.updated_at) == (0, True)
    assert Refund.objects.get(id=other.id).check_count == 7
    with transaction.atomic():
        state_machine.mark_refund_succeeded(refund=refund, channel_refund_no="ch_0")
    assert state_machine.schedule_refund_query(refund=refund) is False
    assert Refund.objects.get(id=refund.id).next_check_at is None


@pytest.mark.usefixtures("policy_park", "banks")
def test_a_duplicate_payment_is_given_back_from_its_attempt(client: SignedClient) -> None:
    body = fail_over(client)
    pay_earlier_attempt(body)
    payment = Payment.objects.get(payment_no=body["payment_no"])
    attempt = payment.attempts.get(duplicate_minor__gt=0)
    others = list(payment.attempts.exclude(id=attempt.id))
    own, pending = money(payment), money(attempt)
    refund = reserved(payment, attempt.duplicate_refundable_minor - 1, duplicate_attempt=attempt)
    assert money(attempt) == (pending[0] + refund.amount_minor, pending[1])
    with transaction.atomic():
        assert state_machine.mark_refund_succeeded(refund=refund, channel_refund_no="ch_1") is True
    assert money(attempt) == (pending[0], pending[1] + refund.amount_minor)
    assert money(payment) == own
    assert [money(each) for each in others] == [(0, 0)] * len(others)
