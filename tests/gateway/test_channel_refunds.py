"""Refunds that were made at the channel: recorded once, with the same events as our own."""

import pytest
from django.db.models.functions import Now

from channels.simulator import bank as the_bank
from channels.simulator.models import LedgerEntry, LedgerKind, SimulatedRefund
from events.models import OutboxEvent
from gateway.models import ChannelEvent, Payment, PaymentReview, Refund
from gateway.services.channel_queries import try_query_all_refunds
from gateway.services.channel_updates.refunds import apply_refund_update
from gateway.update_source import UpdateSource
from tests.support import background, bank
from tests.support.auditing import _audited  # noqa: F401
from tests.support.shop import (
    REFUNDS,
    cancel,
    create,
    data,
    error,
    get_payment,
    get_refund,
    new_no,
    opened,
    paid,
    refund,
    sync,
)
from tests.support.signing import SignedClient
from tests.support.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


def refund_at_channel(payment: dict[str, object], amount: int) -> str:
    number = the_bank.refund_at_bank(str(payment["payment_no"]), amount)
    assert number
    return number


def test_a_webhook_records_the_refund_and_emits_its_event(client: SignedClient) -> None:
    payment = paid(client)
    number = refund_at_channel(payment, 3_000)
    assert bank.deliver_webhooks(payment["payment_no"])[-1] == "applied"
    assert bank.deliver_webhooks(payment["payment_no"])[-1] == "nothing_new"
    (found,) = data(client.get(f"{REFUNDS}?payment_no={payment['payment_no']}"))["items"]
    assert (found["origin"], found["status"], found["amount"], found["channel_refund_no"]) == (
        "channel",
        "succeeded",
        3_000,
        number,
    )
    now = get_payment(client, payment)
    assert (now["refunded_amount"], now["refundable_amount"], now["refund_status"]) == (
        3_000,
        7_000,
        "partial",
    )
    event = OutboxEvent.objects.get(type="refund.succeeded")
    assert (event.data["origin"], event.data["refund_no"]) == ("channel", found["refund_no"])
    details = error(refund(client, payment, 8_000), 422, "refund_exceeds_payment")
    assert details["refundable_amount"] == 7_000


def test_a_pending_refund_is_reserved_until_it_is_settled(client: SignedClient) -> None:
    payment = paid(client, "channel_refund:60")
    assert bank.deliver_webhooks(payment["payment_no"])[-1] == "applied"
    assert get_payment(client, payment)["refundable_amount"] == 0
    assert Refund.objects.get().status == "processing"
    SimulatedRefund.objects.update(settles_at=Now())
    data(sync(client, payment))
    assert get_payment(client, payment)["refund_status"] == "full"
    assert bank.deliver_webhooks(payment["payment_no"])[-1] == "nothing_new"


def test_a_sync_records_it_without_a_webhook(client: SignedClient) -> None:
    payment = paid(client, "no_webhook")
    own = data(refund(client, payment, 1_000))
    refund_at_channel(payment, 3_000)
    refund_at_channel(payment, 2_000)
    assert data(sync(client, payment))["refunded_amount"] == 6_000
    assert data(sync(client, payment))["refunded_amount"] == 6_000
    assert Refund.objects.filter(origin="channel").count() == 2
    assert get_refund(client, own)["origin"] == "merchant"


def test_a_second_refund_with_our_number_is_recorded_separately(client: SignedClient) -> None:
    """This holds too if the bank does not name the payment."""
    payment = paid(client)
    own = data(refund(client, payment, 1_000))
    update = bank.list_webhooks(payment["payment_no"])[-1]
    again = {**update["refund"], "channel_refund_no": "sim_ref_second"}
    again.pop("payment_reference", None)
    LedgerEntry.objects.create(
        reference=payment["payment_no"],
        refund_reference="sim_ref_second",
        kind=LedgerKind.REFUND,
        amount=1_000,
        currency="USD",
        key="second",
    )
    assert (
        bank.read_effect(bank.send_webhook({**update, "event_id": new_no("evt"), "refund": again}))
        == "applied"
    )
    second = Refund.objects.get(origin="channel")
    assert (second.channel_refund_no, second.status) == ("sim_ref_second", "succeeded")
    assert get_refund(client, own) == own
    review = PaymentReview.objects.get()
    assert (review.code, review.subject) == ("mismatch", "sim_ref_second")


def test_concurrent_webhooks_and_syncs_record_it_once(client: SignedClient) -> None:
    payment = paid(client)
    refund_at_channel(payment, 3_000)
    update = bank.list_webhooks(payment["payment_no"])[-1]
    again = {**update, "event_id": f"{update['event_id']}x"}
    row = Payment.objects.get()
    at_once(
        lambda: bank.send_webhook(update),
        lambda: bank.send_webhook(again),
        lambda: try_query_all_refunds(row),
    )
    assert Refund.objects.count() == 1
    assert get_payment(client, payment)["refunded_amount"] == 3_000


def test_our_refund_whose_answer_was_lost_is_not_recorded_twice(client: SignedClient) -> None:
    payment = paid(client, "refund:timeout_after*always,query_refund:timeout_before*2")
    assert data(refund(client, payment, 4_000), 202)["status"] == "pending"
    assert bank.deliver_webhooks(payment["payment_no"])[-1] == "saga_woken"
    stripped = bank.list_webhooks(payment["payment_no"])[-1]
    stripped = {**stripped, "event_id": "sim_evt_s", "refund": {**stripped["refund"], "reference": ""}}
    error(bank.send_webhook(stripped), 503, "service_unavailable")
    assert not ChannelEvent.objects.filter(event_id="sim_evt_s").exists(), "the bank reports it again"
    background.finish()
    assert bank.read_effect(bank.send_webhook(stripped)) == "nothing_new"
    assert Refund.objects.count() == 1
    assert get_payment(client, payment)["refunded_amount"] == 4_000


def test_a_refund_reported_before_its_payment_is_reported_again(client: SignedClient) -> None:
    payment = opened(client)
    bank.pay(payment)
    refund_at_channel(payment, 3_000)
    *before, update = bank.list_webhooks(payment["payment_no"])
    error(bank.send_webhook(update), 503, "service_unavailable")
    for each in before:
        bank.send_webhook(each)
    assert bank.read_effect(bank.send_webhook(update)) == "applied"


def test_a_late_payment_that_was_refunded_at_the_channel(client: SignedClient, settings) -> None:
    settings.LATE_MONEY_POLICY = "park"
    payment = opened(client)
    data(cancel(client, payment))
    bank.pay_closed_payment(payment)
    bank.deliver_webhooks(payment["payment_no"])
    refund_at_channel(payment, 10_000)
    bank.deliver_webhooks(payment["payment_no"])
    row = Payment.objects.get()
    assert (row.status, row.refunded_minor) == ("cancelled", 10_000)


def test_an_excess_refund_needs_review_once(client: SignedClient) -> None:
    payment = paid(client)
    refund_at_channel(payment, 3_000)
    update = bank.list_webhooks(payment["payment_no"])[-1]
    for number in ("a", "b"):
        reported_refund = {**update["refund"], "amount_minor": 10_001, "channel_refund_no": "sim_ref_more"}
        answer = bank.send_webhook({**update, "event_id": number, "refund": reported_refund})
        assert bank.read_effect(answer) == ("parked" if number == "a" else "nothing_new")
    review = PaymentReview.objects.get()
    assert (review.code, review.subject) == ("channel_refund", "sim_ref_more")
    assert Payment.objects.get().needs_attention
    assert get_payment(client, payment)["refunded_amount"] == 0
    bank.send_webhook(update)


def test_another_channel_cannot_report_it(client: SignedClient) -> None:
    payment = paid(client)
    refund_at_channel(payment, 3_000)
    update = next(iter(the_bank.find_refunds(payment["payment_no"]).value))
    assert (
        apply_refund_update(
            update=update, payment_reference=payment["payment_no"], source=UpdateSource("stripe")
        )
        == "unknown_reference"
    )
    assert not Refund.objects.exists()
    data(sync(client, payment))


def test_the_simulator_can_script_such_a_refund(client: SignedClient) -> None:
    payment = data(create(client, "auto_pay,channel_refund:0"))
    bank.deliver_webhooks(payment["payment_no"])
    assert get_payment(client, payment)["refund_status"] == "full"
