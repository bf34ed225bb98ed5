"""The journeys in which PayPal differs from other channels, through the API: the customer only approves, captures stay
pending for days, and keys lapse. Each journey ends with equal records on both sides."""

import datetime as dt
from typing import Any

import pytest
from django.db.models import F

from channels.base import WebhookRequest
from gateway.models import Payment
from sagas.models import SagaInstance
from tests.channels.paypal_harness import PayPalHarness
from tests.channels.test_journeys import deliver, require_equal_records, send_webhook
from tests.support import background, shop
from tests.support.auditing import _audited  # noqa: F401
from tests.support.paypal.fake import FakePayPal, Fault
from tests.support.polling import expire_due, poll_due
from tests.support.sagas import run_once
from tests.support.shop import Body, create, data, error, get_payment
from tests.support.signing import SignedClient

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "simulator"]),
    pytest.mark.usefixtures("_no_connection_in_calls"),
]
CAPTURE = "POST /v2/checkout/orders/.*/capture"
HOUR, DAY = 3600, 86_400


@pytest.fixture
def harness(paypal: FakePayPal) -> PayPalHarness:
    return PayPalHarness(paypal)


def open_payment(client: SignedClient, **changes: Any) -> Body:
    return shop.opened(client, channel="paypal", **changes)


def approve(
    client: SignedClient, harness: PayPalHarness, **changes: Any
) -> tuple[Body, list[WebhookRequest]]:
    """The customer approves. Returns the payment and the webhooks that report the approval."""
    payment = open_payment(client, **changes)
    harness.fake.account.approve(payment["channel_trade_no"])
    return payment, harness.take_webhooks()


def pay(client: SignedClient, harness: PayPalHarness, **changes: Any) -> Body:
    payment, webhooks = approve(client, harness, **changes)
    deliver(harness, webhooks)
    return payment


def pass_time(harness: PayPalHarness, seconds: float) -> None:
    """Lets time pass at the fake and on the platform."""
    harness.fake.advance_clock(seconds)
    for name in ("created_at", "expires_at"):
        Payment.objects.update(**{name: F(name) - dt.timedelta(seconds=seconds)})


def test_the_customer_is_led_to_paypal(client: SignedClient, harness: PayPalHarness) -> None:
    payment = open_payment(client, return_url="https://shop.example/thanks", currency="EUR")
    assert payment["next_action"]["type"] == "redirect"
    assert payment["next_action"]["url"] == payment["payment_url"]
    order = harness.fake.account.orders[payment["channel_trade_no"]]
    unit = order["purchase_units"][0]
    assert (unit["custom_id"], unit["invoice_id"]) == (payment["payment_no"],) * 2
    assert unit["amount"] == {"currency_code": "EUR", "value": "100.00"}
    assert order["intent"] == "CAPTURE"


@pytest.mark.parametrize(("amount", "currency", "value"), [(500, "JPY", "500"), (12_300, "TWD", "123")])
def test_currencies_without_decimals(
    client: SignedClient, harness: PayPalHarness, amount: int, currency: str, value: str
) -> None:
    payment = pay(client, harness, amount=amount, currency=currency)
    now = get_payment(client, payment)
    assert (now["status"], now["captured_amount"]) == ("succeeded", amount)
    [capture] = [
        each for each in harness.fake.account.captures.values() if each["custom_id"] == payment["payment_no"]
    ]
    assert capture["amount"] == {"currency_code": currency, "value": value}


def test_amounts_and_currencies_that_paypal_does_not_take(
    client: SignedClient, harness: PayPalHarness
) -> None:
    refused = create(client, channel="paypal", amount=12_345, currency="TWD")
    assert error(refused, 422, "amount_not_supported")
    assert create(client, channel="paypal", currency="KWD").status_code == 400
    assert not harness.fake.requests_seen


@pytest.mark.parametrize("part", [10_000, 4_000])
def test_an_authorization_is_captured(client: SignedClient, harness: PayPalHarness, part: int) -> None:
    payment = pay(client, harness, capture_method="manual")
    assert get_payment(client, payment)["status"] == "authorized"
    assert require_equal_records(client, harness, payment)["captured_amount"] == 0
    data(shop.capture(client, payment, amount=part))
    deliver(harness, harness.take_webhooks())
    now = require_equal_records(client, harness, payment)
    assert (now["status"], now["captured_amount"]) == ("succeeded", part)
    data(shop.refund(client, payment, part))
    assert require_equal_records(client, harness, payment)["refunded_amount"] == part


def test_an_authorization_is_voided(client: SignedClient, harness: PayPalHarness) -> None:
    payment = pay(client, harness, capture_method="manual")
    assert data(shop.cancel(client, payment))["status"] == "cancelled"
    deliver(harness, harness.take_webhooks())
    [authorization] = [
        each
        for each in harness.fake.account.authorizations.values()
        if each["custom_id"] == payment["payment_no"]
    ]
    assert authorization["status"] == "VOIDED"


@pytest.mark.parametrize("answer", ["declined", "lost"])
@pytest.mark.parametrize("status", ["DECLINED", "FAILED"])
def test_a_declined_capture_leaves_the_authorization(
    client: SignedClient, harness: PayPalHarness, status: str, answer: str
) -> None:
    """PayPal answers 201 with a capture that has this status (developer.paypal.com/docs/api/payments/v2)."""
    account = harness.fake.account
    payment = pay(client, harness, capture_method="manual")
    account.capture_status = (status, "")
    if answer == "lost":
        harness.fake.plan_fault(Fault.LOSE_ANSWER, "POST /v2/payments/authorizations/.*/capture")
        data(shop.capture(client, payment), 202)
        background.finish()
    else:
        details = error(shop.capture(client, payment), 402, "capture_declined")
        assert details["failure_code"] == "declined"
    now = require_equal_records(client, harness, payment)
    assert (now["status"], [each["status"] for each in now["captures"]]) == ("authorized", ["failed"])
    assert count_captures(harness, payment) == (2 if answer == "lost" else 1)
    assert not SagaInstance.objects.filter(needs_attention=True).exists()
    deliver(harness, harness.take_webhooks())
    account.capture_status = ("COMPLETED", "")
    data(shop.capture(client, payment))
    assert require_equal_records(client, harness, payment)["status"] == "succeeded"


@pytest.mark.parametrize(("outcome", "status"), [("COMPLETED", "succeeded"), ("DECLINED", "failed")])
def test_a_pending_capture_of_an_authorization_is_decided_days_later(
    client: SignedClient, harness: PayPalHarness, outcome: str, status: str
) -> None:
    account = harness.fake.account
    payment = pay(client, harness, capture_method="manual")
    account.capture_status = ("PENDING", "RECEIVING_PREFERENCE_MANDATES_MANUAL_ACTION")
    data(shop.capture(client, payment), 202)
    deliver(harness, harness.take_webhooks())
    assert get_payment(client, payment)["status"] == "authorized"
    [capture_id] = [c["id"] for c in account.captures.values() if c["custom_id"] == payment["payment_no"]]
    account.settle_capture(capture_id, outcome)
    deliver(harness, harness.take_webhooks())
    assert require_equal_records(client, harness, payment)["status"] == status
    assert count_captures(harness, payment) == 1
    assert not SagaInstance.objects.filter(needs_attention=True).exists()


def count_captures(harness: PayPalHarness, payment: Body) -> int:
    """The captures at PayPal, those that it declined included."""
    captures = harness.fake.account.captures.values()
    return sum(each["custom_id"] == payment["payment_no"] for each in captures)


@pytest.mark.parametrize("fault", [Fault.LOSE_ANSWER, Fault.FAIL_AFTER])
def test_a_lost_capture_is_found_when_its_key_has_lapsed(
    client: SignedClient, harness: PayPalHarness, fault: Fault
) -> None:
    """The platform does not learn of the capture for a day: the answer, queries and webhooks are lost."""
    payment, [approval] = approve(client, harness)
    assert send_webhook(harness, approval).status_code == 200
    harness.fake.plan_fault(fault, CAPTURE)
    for _query in range(20):
        harness.fake.plan_fault(Fault.LOSE_REQUEST, "GET /v2/checkout/orders/.*")
    run_once()
    assert get_payment(client, payment)["status"] == "processing"
    assert harness.read_amounts(payment["payment_no"]) == (10_000, 0)
    harness.take_webhooks()
    harness.fake.faults.clear()
    harness.fake.advance_clock(DAY)
    background.finish()
    assert require_equal_records(client, harness, payment)["status"] == "succeeded"
    assert (
        harness.fake.requests_seen.count(f"POST /v2/checkout/orders/{payment['channel_trade_no']}/capture")
        == 1
    )


def test_a_capture_that_arrives_after_its_repetition(client: SignedClient, harness: PayPalHarness) -> None:
    payment, webhooks = approve(client, harness)
    harness.fake.plan_fault(Fault.DELAY, CAPTURE)
    deliver(harness, webhooks)
    harness.fake.deliver_delayed_requests()
    deliver(harness, harness.take_webhooks())
    assert require_equal_records(client, harness, payment)["status"] == "succeeded"


def test_an_approval_after_the_payment_expired_lapses(client: SignedClient, harness: PayPalHarness) -> None:
    payment = open_payment(client)
    background.expire_payment(payment["payment_no"])
    expire_due()
    background.finish()
    assert get_payment(client, payment)["status"] == "expired"
    harness.fake.account.approve(payment["channel_trade_no"])
    webhooks = harness.take_webhooks()
    for _ in range(2):
        deliver(harness, webhooks)
    assert CAPTURE not in harness.fake.requests_seen
    assert require_equal_records(client, harness, payment)["status"] == "expired"
    harness.fake.advance_clock(7 * HOUR)
    deliver(harness, webhooks)
    assert require_equal_records(client, harness, payment)["captured_amount"] == 0


def test_a_capture_that_was_delayed_beyond_the_expiry_is_a_late_payment(
    client: SignedClient, harness: PayPalHarness
) -> None:
    """Our call was still on its way when the payment was cancelled: the captured money is refunded."""
    payment = open_payment(client)
    assert data(shop.cancel(client, payment))["status"] == "cancelled"
    account = harness.fake.account
    account.approve(payment["channel_trade_no"])
    account.capture_order(payment["channel_trade_no"])
    deliver(harness, harness.take_webhooks())
    background.finish()
    now = get_payment(client, payment)
    assert now["status"] == "cancelled"
    assert harness.read_amounts(payment["payment_no"]) == (10_000, 10_000)


def test_an_approval_that_lapses_before_its_capture_fails(
    client: SignedClient, harness: PayPalHarness
) -> None:
    """PayPal does not answer until the approval has lapsed."""
    payment, webhooks = approve(client, harness)
    harness.fake.run_before(CAPTURE, lambda: harness.fake.advance_clock(7 * HOUR))
    deliver(harness, webhooks)
    now = require_equal_records(client, harness, payment)
    assert (now["status"], now["failure_code"]) == ("failed", "approval_gone")


@pytest.mark.parametrize("by", ["webhook", "poll"])
@pytest.mark.parametrize(("outcome", "status"), [("COMPLETED", "succeeded"), ("DECLINED", "failed")])
def test_a_pending_capture_is_decided_days_later(
    client: SignedClient, harness: PayPalHarness, by: str, outcome: str, status: str
) -> None:
    account = harness.fake.account
    account.capture_status = ("PENDING", "ECHECK" if by == "webhook" else "PENDING_REVIEW")
    payment = pay(client, harness)
    deliver(harness, harness.take_webhooks())
    assert get_payment(client, payment)["status"] == "processing"
    error(shop.cancel(client, payment), 409, "payment_not_cancellable")
    pass_time(harness, 5 * DAY)
    background.expire_payment(payment["payment_no"])
    expire_due()
    background.finish()
    assert get_payment(client, payment)["status"] == "processing", (
        "a payment with a pending capture does not expire"
    )
    [capture_id] = [c["id"] for c in account.captures.values() if c["custom_id"] == payment["payment_no"]]
    account.settle_capture(capture_id, outcome)
    if by == "webhook":
        deliver(harness, harness.take_webhooks())
    background.make_checks_due()
    poll_due()
    assert require_equal_records(client, harness, payment)["status"] == status


def test_a_refused_instrument_is_followed_by_a_further_attempt(
    client: SignedClient, harness: PayPalHarness
) -> None:
    """The further attempt has an order of its own. The first order stays approved and is never captured."""
    account = harness.fake.account
    account.declines_instrument = True
    payment = pay(client, harness)
    first = get_payment(client, payment)
    assert (first["status"], first["failure_code"]) == ("failed", "card_declined")
    account.declines_instrument = False
    again = data(create(client, channel="paypal", order_no=payment["order_no"]))
    assert again["channel_trade_no"] != payment["channel_trade_no"]
    account.approve(again["channel_trade_no"])
    deliver(harness, harness.take_webhooks())
    background.finish()
    now = get_payment(client, payment)
    assert (now["status"], now["captured_amount"]) == ("succeeded", 10_000)
    assert account.orders[payment["channel_trade_no"]]["status"] == "APPROVED"


def test_webhooks_in_any_order_and_twice(client: SignedClient, harness: PayPalHarness) -> None:
    payment, webhooks = approve(client, harness)
    deliver(harness, webhooks)
    data(shop.refund(client, payment, 2_500))
    webhooks += harness.take_webhooks()
    assert len(webhooks) == 4
    deliver(harness, [*webhooks[::-1], *webhooks])
    now = require_equal_records(client, harness, payment)
    assert (now["status"], now["refunded_amount"]) == ("succeeded", 2_500)


def test_an_outage_of_paypal_loses_no_payment(
    client: SignedClient, harness: PayPalHarness, settings: Any
) -> None:
    settings.CHANNEL_BREAKER_FAULTS = 1000
    payment, webhooks = approve(client, harness)
    for fault in (Fault.UNAVAILABLE, Fault.LOSE_REQUEST, Fault.GARBAGE, Fault.IN_PROGRESS):
        harness.fake.plan_fault(fault, CAPTURE)
    deliver(harness, webhooks)
    assert require_equal_records(client, harness, payment)["status"] == "succeeded"
    assert (
        harness.fake.requests_seen.count(f"POST /v2/checkout/orders/{payment['channel_trade_no']}/capture")
        == 1
    )
