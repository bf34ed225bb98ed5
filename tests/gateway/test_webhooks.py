"""Webhooks of channels: verified, applied once, in any order, and only when they match our payment."""

import functools
import json
import time

import pytest
from django.test import Client

from events.models import OutboxEvent
from gateway.models import ChannelEvent, Payment
from tests.support import background, bank
from tests.support.polling import expire_due
from tests.support.shop import (
    authorized,
    cancel,
    create,
    data,
    error,
    get_order,
    get_payment,
    new_no,
    opened,
    paid,
    refund,
)
from tests.support.signing import SignedClient
from tests.support.tables import row_counts
from tests.support.threads import at_once

NESTED = functools.reduce(lambda inner, _level: [inner], range(200), [])
pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


def _events(payment: dict) -> list[str]:
    rows = OutboxEvent.objects.filter(ordering_key=payment["payment_no"]).order_by("id")
    return list(rows.values_list("type", flat=True))


# --- Verification ---


def test_an_unsigned_webhook_changes_nothing(client: SignedClient) -> None:
    payment = opened(client)
    webhook = bank.build_webhook(payment, state="paid", captured_minor=10_000)
    before = row_counts()
    now = time.time()
    for answer in (
        bank.send_webhook(webhook, Simulator_Signature=None),
        bank.send_webhook(webhook, Simulator_Signature="v1=" + "0" * 64),
        bank.send_webhook(webhook, Simulator_Signature="v1=é"),
        bank.send_webhook(webhook, Simulator_Timestamp=None),
        bank.send_webhook(webhook, Simulator_Timestamp=str(int(now) - 30)),
        bank.send_webhook(webhook, Simulator_Timestamp="9" * 13),
        bank.send_webhook(webhook, Simulator_Timestamp="٣" * 10),
        bank.send_webhook(webhook, at=now - 900),
        bank.send_webhook(webhook, at=now + 900),
    ):
        error(answer, 400, "webhook_rejected")
    assert row_counts() == before
    assert get_payment(client, payment)["status"] == "pending"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'"paid"',
        b"{",
        b"\xff",
        b"[" * 5_000,
        b'{"event_id": 1, "type": "x"}',
        b'{"event_id": "e", "type": "x", "payment": null}',
        b'{"event_id": "e", "type": "x", "payment": {}}',
        b'{"event_id": "", "type": "x"}',
        b'{"event_id": "\\u0000", "type": "x"}',
    ],
)
def test_a_signed_but_malformed_webhook_is_refused(body: bytes, client: SignedClient) -> None:
    error(bank.send_webhook(body), 400, "webhook_rejected")
    assert not ChannelEvent.objects.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"state": "rich"},
        {"state": None},
        {"amount_minor": "10000"},
        {"amount_minor": 10000.0},
        {"captured_minor": True},
        {"reference": 7},
        {"currency": ""},
        {"channel_trade_no": "x" * 256},
        {"failure_message": None},
    ],
)
def test_a_payment_of_the_wrong_shape_is_refused(client: SignedClient, change: dict) -> None:
    payment = opened(client)
    error(bank.send_webhook(bank.build_webhook(payment, **change)), 400, "webhook_rejected")
    assert not ChannelEvent.objects.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"type": "x" * 200},
        {"payment.reference": "PAY-" + "9" * 200},
        {"note": "a\0b"},
        {"note": "\ud800"},
        {"\0": 1},
        {"note": float("nan")},
        {"note": float("inf")},
        {"note": 10**400},
        {"note": NESTED},
    ],
)
def test_values_that_cannot_be_stored_are_no_server_error(client: SignedClient, change: dict) -> None:
    update = bank.build_webhook(opened(client))
    update.pop("payment.reference", None)
    for name, value in change.items():
        where, _dot, inner = name.rpartition(".")
        (update[where] if where else update)[inner] = value
    body = json.dumps(update).encode()
    assert bank.send_webhook(body).status_code in (200, 400)


def test_an_unknown_channel_is_not_found(client: SignedClient) -> None:
    answer = Client().post("/api/v1/webhooks/nonsense", b"{}", content_type="application/json")
    error(answer, 404, "not_found")


def test_a_webhook_about_an_unknown_payment_is_acknowledged(client: SignedClient) -> None:
    update = bank.build_webhook(opened(client), reference="PAY-20250101-000000000000")
    assert bank.read_effect(bank.send_webhook(update)) == "unknown_reference"
    assert ChannelEvent.objects.get().effect == "unknown_reference"


# --- Repetition ---


def test_a_repeated_event_is_applied_once(client: SignedClient) -> None:
    payment = opened(client)
    bank.pay(payment)
    (update,) = bank.list_webhooks(payment["payment_no"])
    assert [bank.read_effect(bank.send_webhook(update)) for _ in range(3)] == [
        "applied",
        "nothing_new",
        "nothing_new",
    ]
    assert ChannelEvent.objects.count() == 1
    assert _events(payment) == ["payment.created", "payment.succeeded"]


def test_an_event_delivered_concurrently_is_applied_once(client: SignedClient) -> None:
    payment = opened(client)
    bank.pay(payment)
    (update,) = bank.list_webhooks(payment["payment_no"])
    effects = [bank.read_effect(answer) for answer in at_once(*[lambda: bank.send_webhook(update)] * 12)]
    assert sorted(effects) == ["applied"] + ["nothing_new"] * 11
    assert _events(payment) == ["payment.created", "payment.succeeded"]


# --- Order ---


def test_an_old_update_does_not_move_a_payment_back(client: SignedClient) -> None:
    payment = opened(client)
    bank.pay(payment)
    bank.deliver_webhooks(payment["payment_no"])
    for state in ("open", "processing", "authorized", "declined", "cancelled"):
        assert bank.read_effect(bank.send_webhook(bank.build_webhook(payment, state=state))) == "nothing_new"
    now = get_payment(client, payment)
    assert (now["status"], now["captured_amount"]) == ("succeeded", 10_000)
    assert get_order(client, payment["order_no"])["status"] == "paid"


def test_processing_is_reported_before_the_decision(client: SignedClient) -> None:
    payment = opened(client)
    assert bank.read_effect(bank.send_webhook(bank.build_webhook(payment, state="processing"))) == "applied"
    assert get_payment(client, payment)["status"] == "processing"
    assert bank.read_effect(bank.send_webhook(bank.build_webhook(payment, state="authorized"))) == "applied"
    assert (
        bank.read_effect(bank.send_webhook(bank.build_webhook(payment, state="processing"))) == "nothing_new"
    )
    assert (
        bank.read_effect(bank.send_webhook(bank.build_webhook(payment, state="paid", captured_minor=10_000)))
        == "applied"
    )
    assert get_payment(client, payment)["status"] == "succeeded"


def test_a_webhook_arrives_before_the_answer(client: SignedClient) -> None:
    """The answer to the charge was lost; the webhook reports it before a worker queries."""
    payment = data(create(client, "timeout_after_charge"), 202)
    assert bank.deliver_webhooks(payment["payment_no"]) == ["applied"]
    assert get_payment(client, payment)["status"] == "succeeded"
    background.finish()
    assert background.saga_of(payment["payment_no"], "payment.create").status == "completed"
    row = Payment.objects.get(payment_no=payment["payment_no"])
    assert (row.status, row.next_check_at) == ("succeeded", None), "the payment is not polled any more"
    assert _events(payment) == ["payment.created", "payment.succeeded"]


def test_a_decline_during_creation_wakes_the_saga(client: SignedClient) -> None:
    payment = data(create(client, "decline,timeout_after"), 202)
    assert bank.read_effect(bank.send_webhook(bank.build_webhook(payment))) == "saga_woken"
    background.finish()
    assert get_payment(client, payment)["status"] == "failed"


# --- Mismatches ---


@pytest.mark.parametrize(
    "change",
    [
        {"amount_minor": 9_999, "captured_minor": 9_999},
        {"currency": "EUR", "captured_minor": 10_000},
        {"captured_minor": 0},
        {"captured_minor": -1},
        {"captured_minor": 10_001},
    ],
)
def test_a_mismatch_needs_review(client: SignedClient, change: dict) -> None:
    payment = opened(client)
    answer = bank.send_webhook(bank.build_webhook(payment, state="paid", **change))
    assert bank.read_effect(answer) == "parked"
    row = Payment.objects.get(payment_no=payment["payment_no"])
    assert (row.status, row.captured_minor, row.needs_attention) == ("pending", 0, True)
    assert row.attention_reason
    assert get_order(client, payment["order_no"])["status"] == "pending"


def test_the_simulator_cannot_change_a_payment_of_another_channel(client: SignedClient, settings) -> None:
    payment = opened(client, channel="stripe")
    Payment.objects.update(sandbox=False)  # as if Stripe had created it
    settings.STRIPE_SECRET_KEYS = {"test": "sk_test_configured", "live": ""}
    answer = bank.send_webhook(bank.build_webhook(payment, state="paid", captured_minor=10_000))
    assert bank.read_effect(answer) == "unknown_reference"
    assert get_payment(client, payment)["status"] == "pending"


# --- Late payments ---


def test_a_late_payment_of_a_cancelled_payment_is_refunded(client: SignedClient) -> None:
    payment = opened(client)
    data(cancel(client, payment))
    bank.pay_closed_payment(payment)
    assert bank.deliver_webhooks(payment["payment_no"]) == ["nothing_new", "late_money"]
    now = get_payment(client, payment)
    assert (now["status"], now["captured_amount"]) == ("cancelled", 10_000)
    background.finish()
    now = get_payment(client, payment)
    assert (now["refunded_amount"], now["refund_status"]) == (10_000, "full")
    assert bank.read_ledger(payment["payment_no"]) == [("charge", 10_000), ("refund", 10_000)]
    assert get_order(client, payment["order_no"])["status"] == "cancelled"
    assert bank.read_effect(bank.send_webhook(bank.build_webhook(payment))) == "nothing_new"
    background.finish()
    assert bank.read_ledger(payment["payment_no"]) == [("charge", 10_000), ("refund", 10_000)]


def test_a_late_payment_needs_review_with_the_policy_park(client: SignedClient, settings) -> None:
    settings.LATE_MONEY_POLICY = "park"
    payment = opened(client)
    background.expire_payment(payment["payment_no"])
    expire_due()
    background.finish()
    bank.pay_closed_payment(payment)
    assert bank.deliver_webhooks(payment["payment_no"])[-1] == "late_money"
    background.finish()
    row = Payment.objects.get(payment_no=payment["payment_no"])
    assert (row.status, row.captured_minor, row.refunded_minor, row.needs_attention) == (
        "expired",
        10_000,
        0,
        True,
    )
    assert bank.read_ledger(payment["payment_no"]) == [("charge", 10_000)]


def test_a_late_payment_reported_concurrently_is_refunded_once(client: SignedClient) -> None:
    payment = opened(client, "no_webhook")
    data(cancel(client, payment))
    bank.pay_closed_payment(payment)
    update = [bank.build_webhook(payment) for _ in range(8)]
    at_once(*[lambda payload=payload: bank.send_webhook(payload) for payload in update])
    background.finish()
    assert bank.read_ledger(payment["payment_no"]) == [("charge", 10_000), ("refund", 10_000)]


def test_a_decline_after_the_cancel_changes_nothing(client: SignedClient) -> None:
    payment = opened(client)
    data(cancel(client, payment))
    assert bank.read_effect(bank.send_webhook(bank.build_webhook(payment, state="declined"))) == "nothing_new"
    assert get_payment(client, payment)["status"] == "cancelled"


def test_paid_and_refunded_stays_succeeded(client: SignedClient) -> None:
    payment = paid(client)
    update = bank.build_webhook(payment)
    data(refund(client, payment, 10_000))
    assert bank.read_effect(bank.send_webhook(update)) == "nothing_new"
    assert get_payment(client, payment)["status"] == "succeeded"


def test_a_partial_capture_reported_by_webhook(client: SignedClient) -> None:
    payment = authorized(client)
    answer = bank.send_webhook(bank.build_webhook(payment, state="paid", captured_minor=2_500))
    assert bank.read_effect(answer) == "applied"
    assert get_payment(client, payment)["captured_amount"] == 2_500


def test_api_keys_are_not_accepted(client: SignedClient) -> None:
    """A merchant's key gives no access to this endpoint, and the bank needs none."""
    payment = opened(client)
    answer = client.post(
        bank.WEBHOOKS,
        bank.build_webhook(payment, state="paid", captured_minor=10_000),
        idempotency_key=new_no(),
    )
    error(answer, 400, "webhook_rejected")


# --- Payloads that cannot be stored as they are ---


def test_a_lone_surrogate_is_stored_as_its_escape(client: SignedClient) -> None:
    """It is valid JSON, but PostgreSQL cannot store it as text."""
    payment = opened(client)
    update = bank.build_webhook(payment, state="paid", captured_minor=10_000)
    ids = [update["event_id"] + "\ud800", update["event_id"] + "\udfff"]
    for event_id in ids:
        assert bank.send_webhook(json.dumps({**update, "event_id": event_id}).encode()).status_code == 200
    assert get_payment(client, payment)["status"] == "succeeded"
    stored = ChannelEvent.objects.filter(event_id__startswith=update["event_id"]).values_list(
        "event_id", flat=True
    )
    assert set(stored) == {each[:-1] + f"\\u{ord(each[-1]):04x}" for each in ids}


@pytest.mark.parametrize("field", ["failure_message", "channel_trade_no", "payment_url"])
def test_a_lone_surrogate_in_any_field_is_no_server_error(client: SignedClient, field: str) -> None:
    update = bank.build_webhook(opened(client), state="declined", captured_minor=0, **{field: "x\ud800"})
    assert bank.send_webhook(json.dumps(update).encode()).status_code < 500


def test_only_the_beginning_of_a_long_body_is_stored(client: SignedClient) -> None:
    payment = opened(client)
    ours = bank.build_webhook(payment, state="paid", captured_minor=10_000)
    unknown = {
        **ours,
        "event_id": "unknown",
        "payment": {**ours["payment"], "reference": "PAY-20260101-000000"},
    }
    for update, padding in ((ours, 900_000), (unknown, 5_000)):
        body = json.dumps({**update, "padding": "x" * padding}).encode()
        assert bank.send_webhook(body).status_code == 200
        stored = ChannelEvent.objects.get(event_id=update["event_id"])
        assert stored.payload["bytes"] == len(body)
        assert len(json.dumps(stored.payload)) < 4_096
    assert get_payment(client, payment)["status"] == "succeeded"
