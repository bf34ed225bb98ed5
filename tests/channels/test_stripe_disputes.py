"""A dispute that Stripe reports: a row, an event for the merchant, a review, and money that cannot be refunded."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, transaction
from prometheus_client import REGISTRY

from backoffice.services import late_payments
from backoffice.timeline.payment_timeline import build_timeline
from backoffice.timeline.records import load_payment_records
from backoffice.timeline.registry import Tone
from common.ids import uuid7
from events.models import OutboxEvent
from gateway import state_machine
from gateway.errors import PaymentDisputed
from gateway.flows import refund_create
from gateway.models import ChannelEvent, Dispute, Payment, PaymentReview, ReviewCode
from tests.support.reviews import AMOUNTS_DIFFER
from tests.support.shop import data, error, get_payment, refund
from tests.support.signing import SignedClient
from tests.support.stripe.events import build_event, send
from tests.support.stripe.fake import FakeStripe, Fault
from tests.support.stripe.shop import create_paid_payment

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "simulator"]),
    pytest.mark.usefixtures("_no_connection_in_calls"),
]


@pytest.fixture
def payment(fake: FakeStripe, client: SignedClient) -> Payment:
    """A payment that was paid on Stripe's page. A dispute names its PaymentIntent, which we do not know."""
    payment = create_paid_payment(fake, client)
    return Payment.objects.get(payment_no=payment["payment_no"])


def dispute(fake: FakeStripe, payment: Payment, kind: str, **changes: Any) -> dict[str, Any]:
    intent = fake.sessions[payment.channel_trade_no]["payment_intent"]
    made = [each for each in fake.account.disputes.values() if each["payment_intent"] == intent]
    (shape,) = made or [fake.open_dispute(intent)]
    shape["evidence_details"]["due_by"] = 1_795_500_000
    return build_event(f"charge.dispute.{kind}", {**shape, **changes})


def counted() -> float:
    labels = {"channel": "stripe", "environment": "test"}
    return REGISTRY.get_sample_value("channel_disputes_total", labels) or 0.0


def test_a_dispute_is_stored_counted_and_needs_review(fake: FakeStripe, payment: Payment) -> None:
    before = counted()
    event = dispute(fake, payment, "created")
    assert data(send(event))["effect"] == "disputed"
    assert data(send(event))["effect"] == "nothing_new"
    kept = ChannelEvent.objects.get(type="charge.dispute.created")
    assert (kept.effect, kept.reference) == ("disputed", payment.payment_no)
    payment.refresh_from_db()
    assert (payment.status, payment.needs_attention) == ("succeeded", True)
    assert payment.attention_reason == "Disputed at stripe (fraudulent): 100.00 USD, needs a response"
    assert counted() == before + 1


def test_a_dispute_is_visible_in_the_timeline(fake: FakeStripe, payment: Payment) -> None:
    send(dispute(fake, payment, "created"))
    (line,) = [
        entry
        for entry in build_timeline(load_payment_records(payment))
        if entry.name == "charge.dispute.created"
    ]
    assert line.tone is Tone.DANGER


def told_of(kind: str) -> list[dict[str, Any]]:
    rows = OutboxEvent.objects.filter(type=f"dispute.{kind}").order_by("id")
    return [row.data for row in rows]


def test_the_merchant_gets_events_and_can_read_the_dispute(
    fake: FakeStripe, payment: Payment, client: SignedClient
) -> None:
    send(dispute(fake, payment, "created"))
    send(dispute(fake, payment, "updated", status="under_review"))
    send(dispute(fake, payment, "updated", status="under_review"))
    send(dispute(fake, payment, "closed", status="won"))
    send(dispute(fake, payment, "updated", status="under_review"))
    row = Dispute.objects.get()
    (created,), (updated,), (closed,) = told_of("created"), told_of("updated"), told_of("won")
    assert (created["reason"], created["amount"], created["status"]) == (
        "fraudulent",
        10_000,
        "needs_response",
    )
    assert created["evidence_due_by"] == "2026-11-24T06:00:00.000Z"
    assert (updated["status"], closed["status"]) == ("under_review", "won")
    assert data(client.get(f"/api/v1/disputes/{row.dispute_no}")) == closed
    for query in ("", "?status=won", f"?payment_no={payment.payment_no}"):
        assert data(client.get(f"/api/v1/disputes{query}"))["items"] == [closed]
    assert data(client.get("/api/v1/disputes?status=lost"))["items"] == []
    assert get_payment(client, {"payment_no": payment.payment_no})["disputes"] == [closed]


@pytest.mark.parametrize(("status", "blocked"), [("needs_response", True), ("lost", True), ("won", False)])
def test_a_disputed_amount_is_not_refunded(
    fake: FakeStripe, payment: Payment, client: SignedClient, status: str, blocked: bool
) -> None:
    send(dispute(fake, payment, "created", amount=6_000, status=status))
    body = {"payment_no": payment.payment_no}
    now = get_payment(client, body)
    assert (now["disputed_amount"], now["refundable_amount"]) == ((6_000, 4_000) if blocked else (0, 10_000))
    if blocked:
        details = error(refund(client, body, 10_000), 409, "payment_disputed")
        assert (details["disputed_amount"], details["refundable_amount"]) == (6_000, 4_000)
        with pytest.raises(PaymentDisputed), transaction.atomic():
            row = Payment.objects.select_for_update().get(id=payment.id)
            refund_create.start_refund_create(
                payment=row, refund_id=uuid7(), amount_minor=4_001, reason="staff"
            )
        error(refund(client, body, 10_001), 422, "refund_exceeds_payment")
    assert data(refund(client, body, 4_000))["status"] == "succeeded"


def test_an_inquiry_blocks_no_refund(fake: FakeStripe, payment: Payment, client: SignedClient) -> None:
    send(dispute(fake, payment, "created", status="warning_needs_response"))
    body = {"payment_no": payment.payment_no}
    assert get_payment(client, body)["disputes"][0]["is_inquiry"]
    assert data(refund(client, body, 10_000))["status"] == "succeeded"
    send(dispute(fake, payment, "closed", status="warning_closed"))
    assert get_payment(client, body)["disputes"][0]["status"] == "closed"


@pytest.mark.parametrize(
    ("movements", "status", "refundable"),
    [((), "closed", 10_000), ((-10_000,), "lost", 0), ((-10_000, 10_000), "closed", 10_000)],
)
def test_a_prevented_dispute_has_taken_what_its_balance_transactions_say(
    fake: FakeStripe,
    payment: Payment,
    client: SignedClient,
    movements: tuple[int, ...],
    status: str,
    refundable: int,
) -> None:
    """docs.stripe.com/api/disputes/object: a dispute is prevented when it is blocked, or when the customer gets the
    money back before it becomes a chargeback."""
    withdrawn = [build_movement(fake, amount) for amount in movements]
    event = dispute(fake, payment, "created", status="prevented", balance_transactions=withdrawn)
    assert data(send(event))["effect"] == "disputed"
    now = get_payment(client, {"payment_no": payment.payment_no})
    assert [each["status"] for each in now["disputes"]] == [status]
    assert now["refundable_amount"] == refundable


def build_movement(fake: FakeStripe, amount: int) -> dict[str, Any]:
    """A balance transaction of a dispute (docs.stripe.com/api/balance_transactions/object)."""
    return fake.account.create_object(
        "balance_transaction",
        "txn",
        amount=amount,
        available_on=fake.account.now(),
        balance_type="payments",
        currency="usd",
        fee=0,
        fee_details=[],
        net=amount,
        reporting_category="dispute",
        status="available",
        type="adjustment",
    )


def test_a_dispute_and_another_review_are_resolved_separately(fake: FakeStripe, payment: Payment) -> None:
    state_machine.open_review(payment=payment, code=ReviewCode.MISMATCH, reason=AMOUNTS_DIFFER)
    send(dispute(fake, payment, "created"))
    payment.refresh_from_db()
    assert payment.attention_reason.startswith(f"{AMOUNTS_DIFFER}; Disputed at stripe")
    late_payments.operate(
        operation=late_payments.PaymentReviewOperation.RESOLVE,
        payment_no=payment.payment_no,
        actor="ana",
        reason="compared",
        reviews=["mismatch"],
    )
    payment.refresh_from_db()
    assert payment.needs_attention
    assert payment.attention_reason.startswith("Disputed at stripe")
    done = PaymentReview.objects.get(code="mismatch")
    assert (done.resolution, done.resolved_by) == ("compared", "ana")
    late_payments.operate(
        operation=late_payments.PaymentReviewOperation.RESOLVE,
        payment_no=payment.payment_no,
        actor="ana",
        reason="answered",
    )
    payment.refresh_from_db()
    assert (payment.needs_attention, payment.attention_reason) == (False, "")
    send(dispute(fake, payment, "updated", status="under_review"))
    payment.refresh_from_db()
    assert not payment.needs_attention, "an update in between opens no review"
    send(dispute(fake, payment, "closed", status="lost"))
    payment.refresh_from_db()
    assert payment.attention_reason.endswith("lost"), "its end does"


def test_the_event_of_a_dispute_that_is_not_ours_is_stored(fake: FakeStripe, payment: Payment) -> None:
    before = counted()
    for unknown in ("pi_of_somebody_else", None):
        event = dispute(fake, payment, "created", payment_intent=unknown)
        assert data(send(event))["effect"] == "unknown_reference"
    stored = ChannelEvent.objects.filter(effect="unknown_reference")
    assert set(stored.values_list("reference", flat=True)) == {""}
    assert counted() == before + 2
    payment.refresh_from_db()
    assert not payment.needs_attention


def test_a_dispute_of_a_lost_payment_is_booked_when_its_event_comes_again(
    fake: FakeStripe, payment: Payment
) -> None:
    """The payment is unknown after a restore, until it is adopted."""
    event = dispute(fake, payment, "created")
    with _lost(payment):
        assert data(send(event))["effect"] == "unknown_reference"
    assert [data(send(event))["effect"] for _ in range(2)] == ["disputed", "nothing_new"]
    kept = ChannelEvent.objects.get(type="charge.dispute.created")
    assert (kept.effect, kept.reference) == ("disputed", payment.payment_no)
    assert (Dispute.objects.get().payment_id, len(told_of("created"))) == (payment.id, 1)


@contextmanager
def _lost(payment: Payment) -> Iterator[None]:
    """Gives the payment another number, so that the channel's events do not find it."""
    _renumber(payment, "PAY-19990101-000001")
    yield
    _renumber(payment, payment.payment_no)


def _renumber(payment: Payment, number: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(
            "UPDATE payments SET payment_no = %s, channel_reference = %s WHERE id = %s",
            [number, number, payment.id],
        )
        cursor.execute(
            "UPDATE payment_attempts SET reference = %s WHERE payment_id = %s", [number, payment.id]
        )


def test_the_event_is_refused_while_the_payment_cannot_be_queried(fake: FakeStripe, payment: Payment) -> None:
    fake.plan_fault(Fault.LOSE_ANSWER, "GET /v1/payment_intents/.*")
    event = dispute(fake, payment, "created")
    error(send(event), 503, "service_unavailable")
    assert not ChannelEvent.objects.filter(effect="disputed").exists()
    assert data(send(event))["effect"] == "disputed"
