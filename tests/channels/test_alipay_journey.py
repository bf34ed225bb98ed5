"""Alipay through the API, our payment page and its sandbox: from the page to the statement; late payments; refunds in
the console."""

import datetime as dt
import re
from collections.abc import Iterator
from html import unescape
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db.models import F
from django.test import Client

from channels.base import FormAction
from gateway.models import ChannelEvent, Payment, PaymentReview, Refund
from gateway.services.reconciliation.differences import (
    ComparedCounts,
    ReconciliationScope,
    find_differences,
)
from tests.channels.alipay_harness import AlipayHarness
from tests.channels.harness import let_refund_pauses_pass
from tests.channels.test_journeys import deliver, send_webhook
from tests.support import background
from tests.support.alipay.bank import alipay_bank, connect
from tests.support.auditing import _audited  # noqa: F401
from tests.support.shop import Body, cancel, create, data, get_payment, get_refund, refund
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


@pytest.fixture
def harness(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[AlipayHarness]:
    """A sandbox of its own, so that its statement has the payments of this test only."""
    with alipay_bank() as bank:
        connect(settings, bank)
        yield AlipayHarness(bank, monkeypatch, "alipay_page")


def create_page(client: SignedClient, **fields: Any) -> Body:
    payment: Body = data(create(client, channel="alipay", currency="CNY", amount=10_000, **fields))
    return payment


def read_form(payment: Body) -> FormAction:
    """The form that our payment page posts."""
    address = urlsplit(payment["payment_url"])
    page = Client().get(f"{address.path}?{address.query}").content.decode()
    action = re.search(r'<form method="post" action="([^"]+)"', page)
    assert action is not None, page
    fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page)
    return FormAction(unescape(action[1]), {name: unescape(value) for name, value in fields})


def open_and_pay(harness: AlipayHarness, payment: Body) -> None:
    assert harness.bank.post_page(read_form(payment)).status_code == 200
    harness.bank.pay(payment["payment_no"])


def test_from_our_payment_page_to_the_statement(client: SignedClient, harness: AlipayHarness) -> None:
    # The sandbox has whole seconds, and its clock was set to one: it is up to a second late.
    before = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=2)
    payment = create_page(client, return_url="https://shop.example/thanks")
    assert (payment["status"], payment["next_action"]["type"]) == ("pending", "form")
    assert not payment["channel_trade_no"]

    open_and_pay(harness, payment)
    (notice,) = harness.take_webhooks()
    answer = send_webhook(harness, notice)
    assert (answer.status_code, answer.content) == (200, b"success")
    paid = get_payment(client, payment)
    assert (paid["status"], paid["captured_amount"]) == ("succeeded", 10_000)
    trade = harness.bank.find_trade(payment["payment_no"])
    assert trade is not None
    assert paid["channel_trade_no"] == trade["trade_no"]
    payload = ChannelEvent.objects.get(type="trade_status_sync.TRADE_SUCCESS").payload
    assert payload["out_trade_no"] == payment["payment_no"].replace("-", "_")
    assert "buyer_id" not in payload

    assert data(refund(client, payment, 3_000))["status"] == "succeeded"
    deliver(harness, harness.take_webhooks())
    now = get_payment(client, payment)
    assert (now["status"], now["refunded_amount"]) == ("succeeded", 3_000)
    assert harness.read_amounts(payment["payment_no"]) == (10_000, 3_000)

    after = dt.datetime.now(dt.UTC)
    harness.publish_lists()
    counts = ComparedCounts()
    scope = ReconciliationScope("alipay", "test", before, after + dt.timedelta(minutes=1))
    assert list(find_differences(scope=scope, counts=counts)) == []
    assert (counts.payments, counts.refunds) == (1, 1)


def test_a_refund_in_alipays_console_is_recorded_by_its_notice(
    client: SignedClient, harness: AlipayHarness
) -> None:
    payment = create_page(client)
    open_and_pay(harness, payment)
    deliver(harness, harness.take_webhooks())
    harness.bank.refund_in_console(payment["payment_no"], "12.34")
    notices = harness.take_webhooks()
    deliver(harness, notices)
    deliver(harness, notices)
    now = get_payment(client, payment)
    assert (now["refunded_amount"], now["refund_status"]) == (1_234, "partial")


def test_a_refund_of_everything_in_the_console_is_no_cancellation(
    client: SignedClient, harness: AlipayHarness
) -> None:
    """The trade is closed, as one that was never paid."""
    payment = create_page(client)
    open_and_pay(harness, payment)
    deliver(harness, harness.take_webhooks())
    data(refund(client, payment, 10_000))
    deliver(harness, harness.take_webhooks())
    trade = harness.bank.find_trade(payment["payment_no"])
    assert trade is not None
    assert trade["status"] == "TRADE_CLOSED"
    data(client.post(f"/api/v1/payments/{payment['payment_no']}/sync"))
    now = get_payment(client, payment)
    assert (now["status"], now["refund_status"]) == ("succeeded", "full")


def test_a_second_refund_waits_for_the_pause_that_alipay_requires(
    client: SignedClient, harness: AlipayHarness
) -> None:
    payment = create_page(client)
    open_and_pay(harness, payment)
    deliver(harness, harness.take_webhooks())
    data(refund(client, payment, 2_500))
    minute = dt.timedelta(minutes=1)
    Refund.objects.update(created_at=F("created_at") + minute)  # a slow machine stays within the pause
    second = data(refund(client, payment, 7_500), 202)
    first_at = Refund.objects.exclude(refund_no=second["refund_no"]).get().created_at
    assert Refund.objects.get(refund_no=second["refund_no"]).call_at == first_at + dt.timedelta(seconds=3)
    assert harness.read_amounts(payment["payment_no"]) == (10_000, 2_500)
    let_refund_pauses_pass(64)
    background.finish()
    assert get_refund(client, second)["status"] == "succeeded"
    assert harness.read_amounts(payment["payment_no"]) == (10_000, 10_000)


def test_a_notice_with_another_amount_needs_review(client: SignedClient, harness: AlipayHarness) -> None:
    payment = create_page(client)
    harness.bank.fault("notify", "contradict_webhook", fields={"total_amount": "1.00"})
    open_and_pay(harness, payment)
    (notice,) = harness.take_webhooks()
    assert send_webhook(harness, notice).content == b"success"
    assert get_payment(client, payment)["status"] == "pending"
    review = PaymentReview.objects.get()
    assert "100.00 CNY" in review.text
    assert review.message_values["requested"] == {"amount_minor": 10_000, "currency": "CNY"}


@pytest.mark.parametrize("fault", ["forged_webhook", "tampered_webhook"])
def test_a_notice_that_alipay_did_not_sign_changes_nothing(
    client: SignedClient, harness: AlipayHarness, fault: str
) -> None:
    payment = create_page(client)
    harness.bank.fault("notify", fault)
    open_and_pay(harness, payment)
    forged, genuine = harness.take_webhooks()
    assert send_webhook(harness, forged).status_code == 400
    assert get_payment(client, payment)["status"] == "pending"
    deliver(harness, [genuine])
    assert get_payment(client, payment)["status"] == "succeeded"


def test_a_lost_refund_happens_once(client: SignedClient, harness: AlipayHarness) -> None:
    payment = create_page(client)
    open_and_pay(harness, payment)
    deliver(harness, harness.take_webhooks())
    harness.bank.fault("refund", "reset_after")
    refund(client, payment, 3_000)
    background.finish()
    deliver(harness, harness.take_webhooks())
    assert get_payment(client, payment)["refunded_amount"] == 3_000
    assert harness.read_amounts(payment["payment_no"]) == (10_000, 3_000)


class TestUnopenedPages:
    """Alipay has no trade that could be closed, and the customer may still open the page."""

    def test_a_cancellation_waits_and_a_payment_meanwhile_wins(
        self, client: SignedClient, harness: AlipayHarness
    ) -> None:
        payment = create_page(client)
        page = read_form(payment)
        assert cancel(client, payment).status_code == 202
        assert get_payment(client, payment)["status"] == "pending"
        assert harness.bank.post_page(page).status_code == 200
        harness.bank.pay(payment["payment_no"])
        deliver(harness, harness.take_webhooks())
        background.finish()
        assert get_payment(client, payment)["status"] == "succeeded"
        assert harness.read_amounts(payment["payment_no"]) == (10_000, 0)

    def test_after_the_end_of_the_page_it_is_cancelled_and_late_money_is_refunded(
        self, client: SignedClient, harness: AlipayHarness
    ) -> None:
        payment = create_page(client)
        page = read_form(payment)
        ended = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=2)
        Payment.objects.filter(payment_no=payment["payment_no"]).update(expires_at=ended)
        assert data(cancel(client, payment))["status"] == "cancelled"
        # Alipay's clock is behind ours: it still accepts the payment.
        assert harness.bank.post_page(page).status_code == 200
        harness.bank.pay(payment["payment_no"])
        deliver(harness, harness.take_webhooks())
        background.finish()
        deliver(harness, harness.take_webhooks())
        now = get_payment(client, payment)
        assert (now["status"], now["captured_amount"], now["refunded_amount"]) == (
            "cancelled",
            10_000,
            10_000,
        )
        assert harness.read_amounts(payment["payment_no"]) == (10_000, 10_000)
