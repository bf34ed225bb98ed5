"""A dispute that Stripe tells of is seen by whoever must answer it."""

from typing import Any

import pytest
from prometheus_client import REGISTRY

from gateway.models import ChannelEvent, Payment
from ops.timeline.registry import Tone
from ops.timeline.story import story, subject_of
from tests.support.shop import data, error, opened, sync
from tests.support.signing import SignedClient
from tests.support.stripe.events import event, send
from tests.support.stripe.fake import FakeStripe, Fault

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


@pytest.fixture
def payment(fake: FakeStripe, client: SignedClient) -> Payment:
    """Paid on Stripe's page: what a dispute names, we have never heard of."""
    told = opened(client, channel="stripe")
    fake.pay(told["channel_trade_no"])
    data(sync(client, told))
    return Payment.objects.get(payment_no=told["payment_no"])


def dispute(fake: FakeStripe, payment: Payment, kind: str, **changes: Any) -> dict[str, Any]:
    shape = {
        "id": "dp_1",
        "object": "dispute",
        "amount": 10_000,
        "currency": "usd",
        "charge": "ch_1",
        "payment_intent": fake.sessions[payment.channel_trade_no]["payment_intent"],
        "reason": "fraudulent",
        "status": "needs_response",
        "livemode": False,
        "metadata": {},
        **changes,
    }
    return event(f"charge.dispute.{kind}", shape)


def counted() -> float:
    labels = {"channel": "stripe", "environment": "test"}
    return REGISTRY.get_sample_value("channel_disputes_total", labels) or 0.0


def test_it_is_kept_counted_and_left_to_a_person(fake: FakeStripe, payment: Payment) -> None:
    before = counted()
    told = dispute(fake, payment, "created")
    assert data(send(told))["effect"] == "disputed"
    assert data(send(told))["effect"] == "nothing_new"
    kept = ChannelEvent.objects.get(type="charge.dispute.created")
    assert (kept.effect, kept.reference) == ("disputed", payment.payment_no)
    payment.refresh_from_db()
    assert (payment.status, payment.needs_attention) == ("succeeded", True)
    assert payment.attention_reason == (
        "disputed at stripe (fraudulent): 10000 USD in minor units, needs_response"
    )
    assert counted() == before + 1


def test_it_stands_out_in_the_payments_story(fake: FakeStripe, payment: Payment) -> None:
    send(dispute(fake, payment, "created"))
    (line,) = [entry for entry in story(subject_of(payment)) if entry.name == "charge.dispute.created"]
    assert line.tone is Tone.DANGER


def test_what_comes_between_calls_nobody_again_and_its_end_does(fake: FakeStripe, payment: Payment) -> None:
    send(dispute(fake, payment, "created"))
    Payment.objects.update(needs_attention=False, attention_reason="")
    for kind in ("updated", "funds_withdrawn", "funds_reinstated"):
        assert data(send(dispute(fake, payment, kind)))["effect"] == "disputed"
    payment.refresh_from_db()
    assert not payment.needs_attention
    send(dispute(fake, payment, "closed", status="lost"))
    payment.refresh_from_db()
    assert payment.attention_reason.endswith("lost")


def test_of_what_is_not_ours_the_event_is_kept(fake: FakeStripe, payment: Payment) -> None:
    before = counted()
    for unknown in ("pi_of_somebody_else", None):
        told = dispute(fake, payment, "created", payment_intent=unknown)
        assert data(send(told))["effect"] == "disputed"
    assert set(ChannelEvent.objects.filter(effect="disputed").values_list("reference", flat=True)) == {""}
    assert counted() == before + 2
    payment.refresh_from_db()
    assert not payment.needs_attention


def test_while_stripe_does_not_say_whose_it_is_nothing_is_acknowledged(
    fake: FakeStripe, payment: Payment
) -> None:
    fake.plan(Fault.LOSE_ANSWER, "GET /v1/payment_intents/.*")
    told = dispute(fake, payment, "created")
    error(send(told), 503, "service_unavailable")
    assert not ChannelEvent.objects.filter(effect="disputed").exists()
    assert data(send(told))["effect"] == "disputed"
