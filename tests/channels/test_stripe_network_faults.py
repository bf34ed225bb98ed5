"""Payments over the API while requests to Stripe are lost, late, repeated or refused: in the end Stripe's amounts
and ours agree, and no customer pays or is refunded twice."""

from typing import Any

import pytest

from gateway.models import Payment, PaymentAttempt
from sagas.models import SagaInstance
from tests.support import background
from tests.support.auditing import _audited  # noqa: F401
from tests.support.shop import (
    cancel,
    capture,
    create,
    data,
    get_payment,
    get_refund,
    new_no,
    opened,
    payment_request,
    refund,
    sync,
)
from tests.support.signing import SignedClient
from tests.support.stripe.fake import DECLINED_CARD, VISA, FakeStripe, Fault
from tests.support.stripe.shop import create_paid_payment

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

CREATE, EXPIRE = "POST /v1/checkout/sessions", "POST /v1/checkout/sessions/.*/expire"
CAPTURE, REFUND = "POST /v1/payment_intents/.*/capture", "POST /v1/refunds"
CHARGE = "POST /v1/payment_intents"


@pytest.fixture(params=list(Fault), ids=lambda fault: fault.name.lower())
def fault(request: pytest.FixtureRequest) -> Fault:
    return request.param


def finish_background_work(fake: FakeStripe, answer) -> None:
    """Runs the background work to its end, and delivers delayed requests."""
    assert answer.status_code in (200, 202), answer.content
    background.finish()
    fake.deliver_delayed_requests()
    background.finish()


def assert_amounts_agree(fake: FakeStripe, payment: dict, client: SignedClient) -> dict:
    now = get_payment(client, payment)
    references = PaymentAttempt.objects.filter(payment__payment_no=payment["payment_no"]).values_list(
        "reference"
    )
    captured, refunded = zip(*(fake.get_amounts(reference) for (reference,) in references), strict=True)
    assert (sum(captured), sum(refunded)) == (now["captured_amount"], now["refunded_amount"])
    assert not SagaInstance.objects.filter(needs_attention=True).exists()
    return now


def test_a_payment_is_created_once(fake: FakeStripe, client: SignedClient, fault: Fault) -> None:
    fake.plan_fault(fault, CREATE)
    request = payment_request(channel="stripe")
    answer = client.post("/api/v1/payments", request, idempotency_key=new_no("key"))
    finish_background_work(fake, answer)
    payment = get_payment(client, answer.json()["data"])
    assert payment["payment_url"].startswith("https://checkout.stripe.com/")
    ours = [s for s in fake.sessions.values() if s["client_reference_id"].startswith(payment["payment_no"])]
    # After a stored 500 another page is created, with another reference. The address of the first was never received.
    assert len(ours) == (2 if fault is Fault.FAIL_AFTER else 1)
    fake.pay_session(payment["channel_trade_no"])
    data(sync(client, payment))
    assert assert_amounts_agree(fake, payment, client)["status"] == "succeeded"


def test_a_saved_card_is_charged_once(fake: FakeStripe, client: SignedClient, fault: Fault) -> None:
    fake.plan_fault(fault, CHARGE)
    answer = create(client, channel="stripe", metadata={"stripe_payment_method": VISA})
    finish_background_work(fake, answer)
    now = assert_amounts_agree(fake, answer.json()["data"], client)
    assert (now["status"], now["captured_amount"]) == ("succeeded", 10_000)


def test_a_payment_is_cancelled_once(fake: FakeStripe, client: SignedClient, fault: Fault) -> None:
    payment = opened(client, channel="stripe")
    fake.plan_fault(fault, EXPIRE)
    finish_background_work(fake, cancel(client, payment))
    assert assert_amounts_agree(fake, payment, client)["status"] == "cancelled"
    assert fake.sessions[payment["channel_trade_no"]]["status"] == "expired"


def test_a_payment_is_captured_once(fake: FakeStripe, client: SignedClient, fault: Fault) -> None:
    payment = create_paid_payment(fake, client, capture_method="manual")
    assert payment["status"] == "authorized"
    fake.plan_fault(fault, CAPTURE)
    finish_background_work(fake, capture(client, payment, amount=7_000))
    now = assert_amounts_agree(fake, payment, client)
    assert (now["status"], now["captured_amount"]) == ("succeeded", 7_000)


def test_a_payment_is_refunded_once(fake: FakeStripe, client: SignedClient, fault: Fault) -> None:
    payment = create_paid_payment(fake, client)
    fake.plan_fault(fault, REFUND)
    answer = refund(client, payment, 4_000)
    finish_background_work(fake, answer)
    assert get_refund(client, answer.json()["data"])["status"] == "succeeded"
    assert assert_amounts_agree(fake, payment, client)["refunded_amount"] == 4_000


def test_a_declined_card_stays_declined(fake: FakeStripe, client: SignedClient) -> None:
    answer = create(client, channel="stripe", metadata={"stripe_payment_method": DECLINED_CARD})
    assert answer.status_code == 402
    assert answer.json()["details"]["failure_code"] == "card_declined"
    assert fake.get_amounts(answer.json()["details"]["payment_no"]) == (0, 0)


def test_a_cancel_after_the_customer_paid(fake: FakeStripe, client: SignedClient) -> None:
    payment = opened(client, channel="stripe")
    fake.pay_session(payment["channel_trade_no"])
    answer = cancel(client, payment)
    assert (answer.status_code, answer.json()["error_code"]) == (409, "payment_not_cancellable")
    assert assert_amounts_agree(fake, payment, client)["status"] == "succeeded"


def test_a_compensated_creation_leaves_no_open_page(
    fake: FakeStripe, client: SignedClient, settings: Any
) -> None:
    """The creation is delayed until the payment has failed. The compensation has repeated it with its key and closed
    the page, so the late request opens no page."""
    settings.CHANNEL_BREAKER_FAULTS = 1000
    for _attempt in range(4):
        fake.plan_fault(Fault.DELAY, CREATE)
    answer = create(client, channel="stripe")
    assert answer.status_code == 202
    payment = answer.json()["data"]
    background.finish()
    assert get_payment(client, payment)["status"] == "failed"
    fake.deliver_delayed_requests()
    ours = [s for s in fake.sessions.values() if s["client_reference_id"] == payment["payment_no"]]
    assert [session["status"] for session in ours] == ["expired"]
    assert assert_amounts_agree(fake, payment, client)["status"] == "failed"


def test_a_lost_creation_is_repeated_not_queried(fake: FakeStripe, client: SignedClient) -> None:
    """The repetition needs no list and no search, which would depend on the number of sessions."""
    fake.plan_fault(Fault.LOSE_ANSWER, CREATE)
    answer = create(client, channel="stripe")
    background.finish()
    payment = get_payment(client, answer.json()["data"])
    assert fake.requests_seen == [CREATE, CREATE]
    assert [s["client_reference_id"] for s in fake.sessions.values()].count(payment["payment_no"]) == 1


def test_no_secret_is_stored_in_the_database(fake: FakeStripe, client: SignedClient) -> None:
    payment = create_paid_payment(fake, client)
    row = Payment.objects.get(payment_no=payment["payment_no"])
    saga = SagaInstance.objects.get(id=row.id)
    assert "sk_test" not in repr([vars(row), vars(saga), [vars(step) for step in saga.steps.all()]])
