"""Stripe makes a second refund under one of our refund numbers: it completes a call that had failed, after the refund
was made with a new key (ADR 19). Both movements of money are recorded."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from events.models import OutboxEvent
from gateway.models import Payment, PaymentReview, Refund
from gateway.services.reconciliation.comparison import DifferenceKind
from gateway.services.reconciliation.differences import ComparedCounts, ReconciliationScope, find_differences
from gateway.services.reconciliation.unreported_refunds import record_unreported_refunds
from tests.support import background
from tests.support.auditing import _audited  # noqa: F401
from tests.support.shop import Body, data, get_payment, get_refund, refund, sync
from tests.support.signing import SignedClient
from tests.support.stripe.events import build_event, send
from tests.support.stripe.fake import FakeStripe, Fault
from tests.support.stripe.shop import create_paid_payment
from tests.support.stripe.specification import JsonObject

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

REFUND = "POST /v1/refunds"


@pytest.fixture
def payment(fake: FakeStripe, client: SignedClient) -> Body:
    return create_paid_payment(fake, client)


@pytest.fixture
def own(fake: FakeStripe, client: SignedClient, payment: Body) -> Body:
    """Stripe stored a 500 for the first call; the second call, with the next key, made the refund."""
    fake.plan_fault(Fault.FAIL_BEFORE, REFUND)
    accepted = data(refund(client, payment, 4_000), 202)
    background.finish()
    done = get_refund(client, accepted)
    assert done["status"] == "succeeded"
    return done


def by_webhook(client: SignedClient, payment: Body, made: JsonObject) -> None:
    for kind in ("refund.created", "refund.updated"):
        data(send(build_event(kind, made)))


def by_sync(client: SignedClient, payment: Body, made: JsonObject) -> None:
    data(sync(client, payment))


def by_the_hourly_task(client: SignedClient, payment: Body, made: JsonObject) -> None:
    assert record_unreported_refunds() == 1


def differences_about(number: str) -> list[DifferenceKind]:
    now, hour = dt.datetime.now(dt.UTC), dt.timedelta(hours=1)
    scope = ReconciliationScope("stripe", "test", now - hour, now + hour)
    found = find_differences(scope=scope, counts=ComparedCounts())
    return [each.kind for each in found if each.channel_no == number]


@pytest.mark.parametrize("reported", [by_webhook, by_sync, by_the_hourly_task])
def test_the_second_refund_is_booked_and_needs_review(
    fake: FakeStripe, client: SignedClient, payment: Body, own: Body, reported: Callable[..., None]
) -> None:
    made = fake.complete_failed_refund(own["channel_refund_no"])
    assert differences_about(made["id"]) == ["refund_missing_here"]
    for _report in range(2):
        reported(client, payment, made)
        reported = by_sync
    second = Refund.objects.get(origin="channel")
    assert (second.channel_refund_no, second.amount_minor, second.status) == (made["id"], 4_000, "succeeded")
    assert get_refund(client, own) == own
    assert (
        get_payment(client, payment)["refunded_amount"] == 8_000 == fake.get_amounts(payment["payment_no"])[1]
    )
    review = PaymentReview.objects.get()
    assert (review.code, review.subject) == ("mismatch", made["id"])
    assert own["refund_no"] in review.text
    assert second.refund_no in review.text
    events = OutboxEvent.objects.filter(type="refund.succeeded").order_by("id")
    assert [each.data["refund_no"] for each in events] == [own["refund_no"], second.refund_no]
    assert differences_about(made["id"]) == []


def test_the_outcomes_of_both_refunds_are_separate(
    fake: FakeStripe, client: SignedClient, payment: Body, own: Body
) -> None:
    made = fake.complete_failed_refund(own["channel_refund_no"])
    by_webhook(client, payment, made)
    fake.settle_refund(made["id"], "failed", failure_reason="unknown")
    for event in fake.take_events():
        send(event)
    assert Refund.objects.get(origin="channel").status == "failed"
    assert get_refund(client, own) == own
    assert get_payment(client, payment)["refunded_amount"] == 4_000


def test_a_second_refund_above_the_captured_amount_needs_review(
    fake: FakeStripe, client: SignedClient, payment: Body, own: Body, settings: Any
) -> None:
    """A refund of ours is in progress and reserves an amount that Stripe has refunded already."""
    made = fake.complete_failed_refund(own["channel_refund_no"])
    fake.plan_fault(Fault.RATE_LIMITED, REFUND)
    waiting = data(refund(client, payment, 5_000), 202)
    by_webhook(client, payment, made)
    review = PaymentReview.objects.get()
    assert (review.code, review.subject) == ("channel_refund", made["id"])
    assert own["refund_no"] in review.text
    background.finish()
    assert get_refund(client, waiting)["status"] == "failed"
    data(sync(client, payment))
    row = Payment.objects.get()
    assert row.refunded_minor == 8_000
