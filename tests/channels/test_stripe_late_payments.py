"""A late payment at Stripe: charged after the payment was closed, refunded by the platform, sent back by the
customer's bank, and refunded once more in the dashboard. After each step our amounts equal Stripe's."""

from typing import Any

import pytest

from events.models import OutboxEvent
from gateway.models import Payment, PaymentReview, Refund, RefundStatus
from monitoring import services as integrity
from sagas import operations
from sagas.models import SagaInstance
from tests.support import background
from tests.support.auditing import _audited, findings  # noqa: F401
from tests.support.polling import poll_due
from tests.support.sagas import run_once
from tests.support.shop import Body, create, data, get_payment, sync
from tests.support.signing import SignedClient
from tests.support.stripe.events import build_event, send
from tests.support.stripe.fake import VISA, FakeStripe, Fault
from tests.support.stripe.specification import JsonObject

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

CHARGE, REFUND = "POST /v1/payment_intents", "POST /v1/refunds"


@pytest.fixture
def closed(fake: FakeStripe, client: SignedClient, settings: Any) -> Body:
    """Stripe charged the card and all its answers were lost. Staff closed the payment as unpaid."""
    settings.CHANNEL_BREAKER_FAULTS = 1000
    for _call in range(200):
        fake.plan_fault(Fault.LOSE_ANSWER, CHARGE).plan_fault(Fault.LOSE_REQUEST, "GET .*")
    payment: Body = data(create(client, channel="stripe", metadata={"stripe_payment_method": VISA}), 202)
    background.finish()
    fake.faults.clear()
    saga = SagaInstance.objects.get(business_id=payment["payment_no"])
    assert saga.needs_attention
    operations.resolve_saga(
        saga_id=saga.id, seen_revision=saga.revision, actor="ana", reason="no answer", resolution="unpaid"
    )
    assert get_payment(client, payment)["status"] == "failed"
    require_books(payment, fake, taken_is_known=False)
    return payment


def require_books(payment: Body, fake: FakeStripe, *, taken_is_known: bool = True) -> None:
    """Our amounts must equal Stripe's, and every integrity check must pass. Open sagas are not checked for delays."""
    row = Payment.objects.get(payment_no=payment["payment_no"])
    taken, refunded = fake.get_amounts(payment["payment_no"])
    on_its_way = sum(
        each["amount"]
        for each in fake.refunds.values()
        if each["status"] == "pending" and is_of(fake, each, row)
    )
    if taken_is_known:
        assert row.captured_minor == taken
    assert row.refunded_minor == refunded - on_its_way
    assert [result for result in integrity.run_checks().results if not result.passed] == []


def is_of(fake: FakeStripe, refund: JsonObject, payment: Payment) -> bool:
    metadata = fake.get_intent(refund["payment_intent"])["metadata"]
    return payment.payment_no in metadata.values()


def deliver(fake: FakeStripe, *, again: bool = True) -> list[str]:
    """Delivers all events of Stripe, each twice."""
    events = fake.take_events()
    effects = [data(send(each))["effect"] for each in events]
    if again:
        assert {data(send(each))["effect"] for each in events} == {"nothing_new"}
    return effects


def told_to_the_merchant(payment: Body) -> list[str]:
    rows = OutboxEvent.objects.filter(ordering_key=payment["payment_no"]).order_by("id")
    return list(rows.values_list("type", flat=True))


def test_a_late_payment_until_its_last_refund(fake: FakeStripe, client: SignedClient, closed: Body) -> None:
    # The customer was charged: the webhook comes after the payment was closed.
    assert "late_money" in deliver(fake)
    automatic = Refund.objects.filter(payment__payment_no=closed["payment_no"])
    require_books(closed, fake)

    # Stripe refunds; its answer is lost, and the webhook comes before our commit.
    fake.refund_status = "pending"
    fake.plan_fault(Fault.LOSE_ANSWER, REFUND)
    run_once()
    row = automatic.get()
    assert (row.status, row.origin, row.channel_refund_no) == ("pending", "automatic", "")
    assert set(deliver(fake)) <= {"saga_woken", "nothing_new"}
    background.finish()
    row.refresh_from_db()
    assert row.status == RefundStatus.PROCESSING
    made = fake.refunds[row.channel_refund_no]
    # … and once more after it.
    assert data(send(build_event("refund.created", made)))["effect"] == "nothing_new"
    require_books(closed, fake)

    # The customer's bank has received the refund.
    fake.settle_refund(made["id"], "succeeded")
    succeeded = fake.take_events()
    assert [data(send(each))["effect"] for each in succeeded] == ["applied", "nothing_new"]
    now = get_payment(client, closed)
    assert (now["status"], now["refunded_amount"], now["refund_status"]) == ("failed", 10_000, "full")
    require_books(closed, fake)

    # The bank sends it back, and an old event follows.
    fake.settle_refund(made["id"], "failed", failure_reason="lost_or_stolen_card")
    assert deliver(fake)[0] == "applied"
    data(send({**succeeded[0], "id": "evt_old_report"}))
    background.make_checks_due()
    poll_due()
    row.refresh_from_db()
    assert (row.status, row.failure_code) == ("failed", "lost_or_stolen_card")
    review = PaymentReview.objects.get(resolved_at=None)
    assert (review.code, review.subject) == ("refund_failed", row.refund_no)
    assert get_payment(client, closed)["refundable_amount"] == 10_000
    require_books(closed, fake)

    # Staff of the merchant refund in the dashboard, in two parts.
    fake.refund_status = "succeeded"
    for amount in (4_000, 6_000):
        fake.refund_in_dashboard(made["payment_intent"], amount)
        assert deliver(fake)[0] == "applied"
        require_books(closed, fake)
    data(sync(client, closed))
    assert get_payment(client, closed)["refunded_amount"] == 10_000
    assert told_to_the_merchant(closed) == [
        "payment.created",
        "payment.failed",
        "payment.late_success",
        "refund.succeeded",
        "refund.failed",
        "refund.succeeded",
        "refund.succeeded",
    ]
    require_books(closed, fake)
    assert findings() == []


def test_the_event_of_a_refund_that_succeeded_at_once_changes_nothing(
    fake: FakeStripe, client: SignedClient, closed: Body
) -> None:
    deliver(fake)
    background.finish()
    assert set(deliver(fake)) == {"nothing_new"}
    assert get_payment(client, closed)["refunded_amount"] == 10_000
    assert told_to_the_merchant(closed)[-1] == "refund.succeeded"
    require_books(closed, fake)
