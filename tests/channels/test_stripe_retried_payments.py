"""A payment is tried again days after it was created, and the answer to that creation is lost: it is found in
Stripe's lists of the attempt's time."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F

from gateway.flows.data import PaymentCancelData, read_existing_payment
from gateway.models import Payment, PaymentAttempt
from tests.support import background
from tests.support.auditing import _audited  # noqa: F401
from tests.support.shop import create, data, error, get_payment, new_no, sync
from tests.support.signing import SignedClient
from tests.support.stripe.fake import DECLINED_CARD, FakeStripe, Fault
from tests.support.stripe.server import fake_stripe

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

CREATE = "POST /v1/checkout/sessions"
LATER = timedelta(days=3)


@pytest.fixture
def fake(fake: FakeStripe, settings: Any) -> Iterator[FakeStripe]:
    """A fake of its own, so that the test can change the times of its objects."""
    with fake_stripe() as fresh:
        settings.STRIPE_API_BASE = fresh.url
        yield fresh
        assert fresh.errors == []


def test_a_lost_attempt_is_found_in_the_lists_of_its_time(fake: FakeStripe, client: SignedClient) -> None:
    order_no = new_no()
    card: Any = {"stripe_payment_method": DECLINED_CARD}
    error(create(client, channel="stripe", order_no=order_no, metadata=card), 402, "payment_declined")
    fake.plan_fault(Fault.LOSE_ANSWER, CREATE)
    retried = data(create(client, channel="stripe", order_no=order_no), 202)
    session = list(fake.sessions.values())[-1]
    assert fake.pay_session(session["id"])
    # As if the payment had been created three days before its second attempt.
    for field in ("created", "expires_at"):
        session[field] += int(LATER.total_seconds())
    PaymentAttempt.objects.filter(number=2).update(created_at=F("created_at") + LATER)

    began_at = PaymentAttempt.objects.get(number=2).created_at
    fields = read_existing_payment(Payment.objects.get())
    cancel = PaymentCancelData(**fields, final_status="cancelled", reason="")
    assert PaymentCancelData.read(cancel.as_json()).build_payment_ref(1.0).started_at == began_at

    assert data(sync(client, retried))["status"] == "succeeded"
    assert get_payment(client, retried)["channel_trade_no"] == session["id"]
    background.finish()
