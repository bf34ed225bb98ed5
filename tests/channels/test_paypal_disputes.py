"""Disputes at PayPal: each cent leaves the books once, whether a dispute took it or a refund that ended the dispute."""

from collections.abc import Callable
from typing import Any

import pytest

from channels.paypal import disputes as reading
from gateway.models import Dispute, Payment
from ledger.models import TransferEntry
from tests.channels.paypal_harness import PayPalHarness
from tests.channels.test_journeys import create_payment, deliver, pay, send_webhook
from tests.support import background
from tests.support.auditing import _audited  # noqa: F401
from tests.support.paypal import disputes
from tests.support.paypal.fake import FakePayPal, Fault
from tests.support.shop import Body, data, get_payment, refund
from tests.support.signing import SignedClient

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "simulator"]),
    pytest.mark.usefixtures("_no_connection_in_calls"),
]


@pytest.fixture
def harness(paypal: FakePayPal) -> PayPalHarness:
    return PayPalHarness(paypal)


@pytest.fixture
def payment(harness: PayPalHarness, client: SignedClient) -> Body:
    payment = create_payment(client, harness)
    pay(harness, payment)
    deliver(harness, harness.take_webhooks())
    now = get_payment(client, payment)
    assert now["status"] == "succeeded"
    harness.take_webhooks()
    return now


def find_capture(paypal: FakePayPal, payment: Body) -> str:
    [capture_id] = [
        number
        for number, capture in paypal.account.captures.items()
        if capture["custom_id"] == payment["payment_no"]
    ]
    return capture_id


def open_dispute(paypal: FakePayPal, payment: Body, value: str = "", **fields: Any) -> str:
    found = disputes.open_dispute(paypal.account, find_capture(paypal, payment), value, **fields)
    dispute_id: str = found["dispute_id"]
    return dispute_id


def read_amounts(client: SignedClient, payment: Body) -> tuple[int, int]:
    """Refunded and disputed; what the ledger holds at the channel must be the rest, and nothing is in suspense."""
    now, row = get_payment(client, payment), Payment.objects.get(payment_no=payment["payment_no"])
    at_channel = sum(
        amount if direction == "debit" else -amount
        for amount, direction in TransferEntry.objects.filter(
            phase="posted", account__kind="channel_receivable", transfer__payment_id=row.pk
        ).values_list("amount_minor", "direction")
    )
    assert row.suspense_minor == 0
    assert at_channel == now["captured_amount"] - now["refunded_amount"] - now["disputed_amount"]
    return now["refunded_amount"], now["disputed_amount"]


def test_a_dispute_blocks_refunds_from_its_beginning_to_its_end(
    paypal: FakePayPal, harness: PayPalHarness, client: SignedClient, payment: Body
) -> None:
    number = open_dispute(paypal, payment)
    deliver(harness, harness.take_webhooks())
    [shown] = get_payment(client, payment)["disputes"]
    assert (shown["status"], shown["stage"], shown["reason"]) == (
        "needs_response", "chargeback", "product_not_received",
    )  # fmt: skip
    assert read_amounts(client, payment) == (0, 10_000)
    disputes.change_dispute(paypal.account, number, status="UNDER_REVIEW")
    disputes.resolve_dispute(paypal.account, number, "RESOLVED_SELLER_FAVOUR")
    webhooks = harness.take_webhooks()
    deliver(harness, webhooks[::-1])
    deliver(harness, webhooks)
    assert get_payment(client, payment)["disputes"][0]["status"] == "won"
    assert read_amounts(client, payment) == (0, 0)


@pytest.mark.parametrize(
    ("outcome", "status", "disputed"),
    [
        ("RESOLVED_BUYER_FAVOUR", "lost", 10_000),
        ("ACCEPTED", "lost", 10_000),
        ("RESOLVED_WITH_PAYOUT", "won", 0),
        ("DENIED", "won", 0),
        ("CANCELED_BY_BUYER", "closed", 0),
        ("NONE", "closed", 0),
    ],
)
def test_each_outcome(
    paypal: FakePayPal,
    harness: PayPalHarness,
    client: SignedClient,
    payment: Body,
    outcome: str,
    status: str,
    disputed: int,
) -> None:
    number = open_dispute(paypal, payment)
    disputes.resolve_dispute(paypal.account, number, outcome)
    deliver(harness, harness.take_webhooks())
    assert get_payment(client, payment)["disputes"][0]["status"] == status
    assert read_amounts(client, payment) == (0, disputed)


@pytest.mark.parametrize("order", [lambda webhooks: webhooks, lambda webhooks: webhooks[::-1]])
@pytest.mark.parametrize("stage", ["INQUIRY", "CHARGEBACK"])
def test_a_full_refund_ends_the_dispute_and_is_booked_once(
    paypal: FakePayPal,
    harness: PayPalHarness,
    client: SignedClient,
    payment: Body,
    stage: str,
    order: Callable[[list[Any]], list[Any]],
) -> None:
    open_dispute(paypal, payment, stage=stage)
    deliver(harness, harness.take_webhooks())
    paypal.refund_in_dashboard(find_capture(paypal, payment), "100.00")
    deliver(harness, order(harness.take_webhooks()))
    background.finish()
    assert get_payment(client, payment)["disputes"][0]["status"] == "closed"
    assert read_amounts(client, payment) == (10_000, 0)


def test_a_refund_of_ours_ends_an_inquiry(
    paypal: FakePayPal, harness: PayPalHarness, client: SignedClient, payment: Body
) -> None:
    open_dispute(paypal, payment, stage="INQUIRY")
    deliver(harness, harness.take_webhooks())
    assert data(refund(client, payment, 10_000))["status"] == "succeeded"
    deliver(harness, harness.take_webhooks())
    assert get_payment(client, payment)["disputes"][0]["status"] == "closed"
    assert read_amounts(client, payment) == (10_000, 0)


def test_an_accepted_offer_is_booked_once(
    paypal: FakePayPal, harness: PayPalHarness, client: SignedClient, payment: Body
) -> None:
    """Earlier refunds are not the end of the inquiry."""
    paypal.refund_in_dashboard(find_capture(paypal, payment), "20.00")
    paypal.advance_clock(5)
    number = open_dispute(paypal, payment, "80.00", stage="INQUIRY")
    disputes.accept_offer(paypal.account, number, "30.00")
    deliver(harness, harness.take_webhooks())
    background.finish()
    assert get_payment(client, payment)["disputes"][0]["status"] == "closed"
    assert read_amounts(client, payment) == (5_000, 0)


def test_a_lost_dispute_takes_what_refunds_have_left(
    paypal: FakePayPal, harness: PayPalHarness, client: SignedClient, payment: Body
) -> None:
    paypal.refund_in_dashboard(find_capture(paypal, payment), "40.00")
    deliver(harness, harness.take_webhooks())
    number = open_dispute(paypal, payment, "100.00")
    deliver(harness, harness.take_webhooks())
    disputes.resolve_dispute(paypal.account, number, "RESOLVED_BUYER_FAVOUR")
    deliver(harness, harness.take_webhooks())
    lost = Dispute.objects.get()
    assert (lost.status, lost.amount_minor) == ("lost", 6_000)
    assert read_amounts(client, payment) == (4_000, 6_000)


def test_a_refund_after_the_end_does_not_undo_the_loss(
    paypal: FakePayPal, harness: PayPalHarness, client: SignedClient, payment: Body
) -> None:
    """The webhook of the end arrives when the rest has been refunded too."""
    number = open_dispute(paypal, payment, "50.00")
    disputes.resolve_dispute(paypal.account, number, "RESOLVED_BUYER_FAVOUR")
    webhooks = harness.take_webhooks()
    paypal.advance_clock(5)
    paypal.refund_in_dashboard(find_capture(paypal, payment), "50.00")
    deliver(harness, [*harness.take_webhooks(), *webhooks])
    background.finish()
    assert get_payment(client, payment)["disputes"][0]["status"] == "lost"
    assert read_amounts(client, payment) == (5_000, 5_000)


def test_without_the_order_the_end_of_a_dispute_comes_again(
    paypal: FakePayPal, harness: PayPalHarness, client: SignedClient, payment: Body
) -> None:
    number = open_dispute(paypal, payment)
    deliver(harness, harness.take_webhooks())
    disputes.resolve_dispute(paypal.account, number, "RESOLVED_BUYER_FAVOUR")
    [webhook] = harness.take_webhooks()
    for fault, pattern in ((Fault.UNAVAILABLE, "GET .*/captures/.*"), (Fault.GARBAGE, "GET .*/orders/.*")):
        paypal.plan_fault(fault, pattern)
        assert send_webhook(harness, webhook).status_code == 400
        assert Dispute.objects.get().status == "needs_response"
    deliver(harness, [webhook])
    assert Dispute.objects.get().status == "lost"
    assert read_amounts(client, payment) == (0, 10_000)


def test_every_published_value_has_a_meaning() -> None:
    assert {*reading.STATES, "RESOLVED"} == set(disputes.STATUSES)
    assert set(reading.OUTCOMES) == set(disputes.OUTCOMES)
    assert set(reading.REASONS) == set(disputes.REASONS)
    assert set(reading.STAGES) == set(disputes.STAGES)
