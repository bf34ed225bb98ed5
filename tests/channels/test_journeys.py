"""Journeys that every payment method of every channel must pass through the API. Each journey ends with equal records
on both sides. A new channel adds a harness, and no test."""

from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from channels.base import (
    ChannelPayment,
    FormAction,
    NextAction,
    PaymentState,
    QrCodeAction,
    RedirectAction,
    SdkAction,
    WebhookRequest,
)
from common.external_calls import release_connections
from tests.channels.harness import ChannelHarness, RepeatedCaptureHarness
from tests.support import background
from tests.support.auditing import _audited  # noqa: F401
from tests.support.polling import poll_due
from tests.support.shop import Body, cancel, capture, create, data, error, get_payment, get_refund, refund
from tests.support.signing import SignedClient

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "simulator"]),
    pytest.mark.usefixtures("_no_connection_in_calls"),
]


def create_payment(client: SignedClient, harness: ChannelHarness) -> Body:
    payment: Body = data(create(client, currency=harness.currency, **harness.build_api_fields()))
    return payment


def pay(harness: ChannelHarness, payment: Body) -> None:
    if harness.pays_at_once:
        return
    harness.pay(build_channel_payment(payment))


def build_channel_payment(payment: Body) -> ChannelPayment:
    return ChannelPayment(
        reference=payment["payment_no"],
        channel_trade_no=payment["channel_trade_no"] or "",
        state=PaymentState.OPEN,
        amount_minor=payment["amount"],
        currency=payment["currency"],
        next_action=read_next_action(payment["next_action"]),
    )


def read_next_action(action: dict[str, Any]) -> NextAction:
    match action["type"]:
        case "redirect":
            return RedirectAction(action["url"])
        case "qr_code":
            return QrCodeAction(action["content"])
        case "form":
            return FormAction(action["url"], action["fields"])
        case _:
            return SdkAction(action["params"])


def send_webhook(harness: ChannelHarness, webhook: WebhookRequest) -> HttpResponse:
    headers = {name: value for name, value in webhook.headers.items() if name.lower() != "content-type"}
    content_type = webhook.get_header("Content-Type") or "application/json"
    address = f"/api/v1/webhooks/{harness.channel.name}"
    return Client().post(address, webhook.body, content_type=content_type, headers=headers)


def deliver(harness: ChannelHarness, webhooks: list[WebhookRequest]) -> None:
    """Delivers webhooks. Each is acknowledged with the status and body that its channel expects."""
    for webhook in webhooks:
        answer = send_webhook(harness, webhook)
        assert answer.status_code == 200, answer.content
        release_connections()  # some channels query what an event is about
        wanted = harness.channel.parse_webhook(harness.account, webhook).acknowledgement
        if wanted is not None:
            assert (answer.content, answer["Content-Type"]) == (wanted.body, wanted.content_type)
    complete_approved(harness)


def complete_approved(harness: ChannelHarness) -> None:
    """A worker completes the payments that the customer has approved."""
    if harness.approves:
        background.finish()


def require_equal_records(client: SignedClient, harness: ChannelHarness, payment: Body) -> Body:
    now = get_payment(client, payment)
    ours = now["captured_amount"], now["refunded_amount"]
    assert ours == harness.read_amounts(payment["payment_no"])
    return now


@pytest.mark.parametrize("order", ["once", "twice", "backwards"])
def test_webhooks_report_the_payment(client: SignedClient, harness: ChannelHarness, order: str) -> None:
    payment = create_payment(client, harness)
    pay(harness, payment)
    webhooks = harness.take_webhooks()
    assert webhooks
    deliver(harness, webhooks[::-1] if order == "backwards" else webhooks)
    if order == "twice":
        deliver(harness, webhooks)
    assert require_equal_records(client, harness, payment)["status"] == "succeeded"


def test_without_webhooks_a_poll_finds_the_payment(client: SignedClient, harness: ChannelHarness) -> None:
    payment = create_payment(client, harness)
    pay(harness, payment)
    background.make_checks_due()
    poll_due()
    complete_approved(harness)
    now = require_equal_records(client, harness, payment)
    assert (now["status"], now["captured_amount"]) == ("succeeded", 10_000)


def test_a_forged_webhook_changes_nothing(client: SignedClient, page_harness: ChannelHarness) -> None:
    payment = create_payment(client, page_harness)
    pay(page_harness, payment)
    webhooks = page_harness.take_webhooks()
    for webhook in webhooks:
        forged = WebhookRequest(webhook.body + b"x", webhook.headers)
        assert send_webhook(page_harness, forged).status_code == 400
    assert get_payment(client, payment)["status"] == "pending"
    deliver(page_harness, webhooks)
    assert require_equal_records(client, page_harness, payment)["status"] == "succeeded"


@pytest.mark.parametrize("loses", ["request", "answer"])
def test_a_lost_creation_is_made_once(
    client: SignedClient, calling_harness: ChannelHarness, loses: str
) -> None:
    harness = calling_harness
    answer = create(client, currency=harness.currency, **harness.build_api_fields(loses=loses))
    assert answer.status_code in (200, 202)
    background.finish()
    payment = get_payment(client, answer.json()["data"])
    pay(harness, payment)
    deliver(harness, harness.take_webhooks())
    now = require_equal_records(client, harness, payment)
    assert (now["status"], now["captured_amount"]) == ("succeeded", 10_000)


def test_a_cancelled_payment_takes_no_money(
    client: SignedClient, stored_page_harness: ChannelHarness
) -> None:
    payment = create_payment(client, stored_page_harness)
    assert data(cancel(client, payment))["status"] == "cancelled"
    deliver(stored_page_harness, stored_page_harness.take_webhooks())
    now = require_equal_records(client, stored_page_harness, payment)
    assert (now["status"], now["captured_amount"]) == ("cancelled", 0)


def test_a_payment_that_was_paid_first_is_not_cancelled(
    client: SignedClient, page_harness: ChannelHarness
) -> None:
    payment = create_payment(client, page_harness)
    pay(page_harness, payment)
    cancel(client, payment)
    background.finish()
    deliver(page_harness, page_harness.take_webhooks())
    # An approval moves no money, so that the cancellation wins over it.
    expected = "cancelled" if page_harness.approves else "succeeded"
    assert require_equal_records(client, page_harness, payment)["status"] == expected


@pytest.mark.parametrize("by", ["webhook", "poll"])
def test_a_payment_is_refunded_in_two_parts(client: SignedClient, harness: ChannelHarness, by: str) -> None:
    payment = create_payment(client, harness)
    pay(harness, payment)
    deliver(harness, harness.take_webhooks())
    for amount in (2_500, 7_500):
        created_refund = refund(client, payment, amount).json()["data"]
        harness.settle_refunds()
        if by == "webhook":
            deliver(harness, harness.take_webhooks())
        background.make_checks_due()
        poll_due()
        assert get_refund(client, created_refund)["status"] == "succeeded"
        harness.pass_refund_pause()
    now = require_equal_records(client, harness, payment)
    assert (now["refunded_amount"], now["refund_status"]) == (10_000, "full")


def hold_payment(client: SignedClient, harness: RepeatedCaptureHarness) -> Body:
    """Creates an authorized payment that can be captured in parts."""
    answer = create(
        client,
        currency=harness.currency,
        capture_method="manual",
        payment_method_options=harness.repeated_capture_options,
        **harness.build_api_fields(),
    )
    payment: Body = data(answer)
    pay(harness, payment)
    deliver(harness, harness.take_webhooks())
    shown: Body = get_payment(client, payment)
    assert (shown["status"], shown["capturable_amount"]) == ("authorized", 10_000)
    return shown


def test_parts_are_captured_and_the_last_one_releases_the_rest(
    client: SignedClient, repeated_capture_harness: RepeatedCaptureHarness
) -> None:
    harness = repeated_capture_harness
    payment = hold_payment(client, harness)
    data(capture(client, payment, amount=3_000, final_capture=False))
    deliver(harness, harness.take_webhooks())
    now = require_equal_records(client, harness, payment)
    assert (now["status"], now["captured_amount"], now["capturable_amount"]) == ("authorized", 3_000, 7_000)
    data(capture(client, payment, amount=4_000))
    deliver(harness, harness.take_webhooks())
    now = require_equal_records(client, harness, payment)
    assert (now["status"], now["captured_amount"]) == ("succeeded", 7_000)


def test_a_cancellation_after_a_capture_releases_the_rest(
    client: SignedClient, repeated_capture_harness: RepeatedCaptureHarness
) -> None:
    harness = repeated_capture_harness
    payment = hold_payment(client, harness)
    data(capture(client, payment, amount=3_000, final_capture=False))
    assert data(cancel(client, payment))["status"] == "succeeded"
    deliver(harness, harness.take_webhooks())
    assert require_equal_records(client, harness, payment)["captured_amount"] == 3_000


def test_no_more_is_refunded_than_was_captured_so_far(
    client: SignedClient, repeated_capture_harness: RepeatedCaptureHarness
) -> None:
    harness = repeated_capture_harness
    payment = hold_payment(client, harness)
    data(capture(client, payment, amount=3_000, final_capture=False))
    error(refund(client, payment, 3_001), 422, "refund_exceeds_payment")
    data(refund(client, payment, 3_000))
    harness.settle_refunds()
    deliver(harness, harness.take_webhooks())
    assert require_equal_records(client, harness, payment)["refunded_amount"] == 3_000
