"""What a channel tells by webhook: believed when it is signed, once, in any order, and only as far as it fits."""

import functools
import json
import time

import pytest

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
)
from tests.support.signing import SignedClient
from tests.support.tables import row_counts
from tests.support.threads import at_once

NESTED = functools.reduce(lambda inner, _level: [inner], range(200), [])
pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


def _events(payment: dict) -> list[str]:
    rows = OutboxEvent.objects.filter(ordering_key=payment["payment_no"]).order_by("id")
    return list(rows.values_list("type", flat=True))


# --- Authentic or refused -------------------------------------------------------------------------------------


def test_what_the_bank_did_not_sign_changes_nothing(client: SignedClient) -> None:
    payment = opened(client)
    paid_news = bank.build_webhook(payment, state="paid", captured_minor=10_000)
    before = row_counts()
    now = time.time()
    for answer in (
        bank.send_webhook(paid_news, Simulator_Signature=None),
        bank.send_webhook(paid_news, Simulator_Signature="v1=" + "0" * 64),
        bank.send_webhook(paid_news, Simulator_Signature="v1=é"),
        bank.send_webhook(paid_news, Simulator_Timestamp=None),
        bank.send_webhook(paid_news, Simulator_Timestamp=str(int(now) + 30)),
        bank.send_webhook(paid_news, Simulator_Timestamp="9" * 13),
        bank.send_webhook(paid_news, Simulator_Timestamp="٣" * 10),
        bank.send_webhook(paid_news, at=now - 900),
        bank.send_webhook(paid_news, at=now + 900),
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
def test_what_is_signed_and_not_readable_is_refused(body: bytes, client: SignedClient) -> None:
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
def test_what_our_tables_cannot_hold_is_no_server_error(client: SignedClient, change: dict) -> None:
    told = bank.build_webhook(opened(client))
    told.pop("payment.reference", None)
    for name, value in change.items():
        where, _dot, inner = name.rpartition(".")
        (told[where] if where else told)[inner] = value
    body = bank.json.dumps(told).encode()
    assert bank.send_webhook(body).status_code in (200, 400)


def test_a_channel_that_does_not_exist(client: SignedClient) -> None:
    from django.test import Client

    answer = Client().post("/api/v1/webhooks/nonsense", b"{}", content_type="application/json")
    error(answer, 404, "not_found")


def test_a_webhook_about_nothing_we_know_is_acknowledged(client: SignedClient) -> None:
    told = bank.build_webhook(opened(client), reference="PAY-20250101-000000000000")
    assert bank.read_effect(bank.send_webhook(told)) == "unknown_reference"
    assert ChannelEvent.objects.get().effect == "unknown_reference"


# --- Once ---------------------------------------------------------------------------------------------------------


def test_an_event_has_its_effect_once(client: SignedClient) -> None:
    payment = opened(client)
    bank.pay(payment)
    (told,) = bank.list_webhooks(payment["payment_no"])
    assert [bank.read_effect(bank.send_webhook(told)) for _ in range(3)] == [
        "applied",
        "nothing_new",
        "nothing_new",
    ]
    assert ChannelEvent.objects.count() == 1
    assert _events(payment) == ["payment.created", "payment.succeeded"]


def test_an_event_delivered_from_many_sides_at_once(client: SignedClient) -> None:
    payment = opened(client)
    bank.pay(payment)
    (told,) = bank.list_webhooks(payment["payment_no"])
    effects = [bank.read_effect(answer) for answer in at_once(*[lambda: bank.send_webhook(told)] * 12)]
    assert sorted(effects) == ["applied"] + ["nothing_new"] * 11
    assert _events(payment) == ["payment.created", "payment.succeeded"]


# --- In any order -------------------------------------------------------------------------------------------------


def test_old_news_does_not_turn_a_payment_back(client: SignedClient) -> None:
    payment = opened(client)
    bank.pay(payment)
    bank.deliver_webhooks(payment["payment_no"])
    for state in ("open", "processing", "authorized", "declined", "cancelled"):
        assert bank.read_effect(bank.send_webhook(bank.build_webhook(payment, state=state))) == "nothing_new"
    now = get_payment(client, payment)
    assert (now["status"], now["captured_amount"]) == ("succeeded", 10_000)
    assert get_order(client, payment["order_no"])["status"] == "paid"


def test_processing_comes_before_the_decision(client: SignedClient) -> None:
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


def test_a_webhook_that_is_faster_than_the_answer(client: SignedClient) -> None:
    """The charge's answer was lost; the webhook says it before the background has asked."""
    payment = data(create(client, "timeout_after_charge"), 202)
    assert bank.deliver_webhooks(payment["payment_no"]) == ["applied"]
    assert get_payment(client, payment)["status"] == "succeeded"
    background.finish()
    assert background.saga_of(payment["payment_no"], "payment.create").status == "completed"
    row = Payment.objects.get(payment_no=payment["payment_no"])
    assert (row.status, row.next_check_at) == ("succeeded", None), "nobody needs to ask about it any more"
    assert _events(payment) == ["payment.created", "payment.succeeded"]


def test_a_decline_during_creation_wakes_the_saga_that_finds_out_itself(client: SignedClient) -> None:
    payment = data(create(client, "decline,timeout_after"), 202)
    assert bank.read_effect(bank.send_webhook(bank.build_webhook(payment))) == "saga_woken"
    background.finish()
    assert get_payment(client, payment)["status"] == "failed"


# --- Only what fits -----------------------------------------------------------------------------------------------


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
def test_money_that_does_not_fit_is_left_to_a_person(client: SignedClient, change: dict) -> None:
    payment = opened(client)
    answer = bank.send_webhook(bank.build_webhook(payment, state="paid", **change))
    assert bank.read_effect(answer) == "parked"
    row = Payment.objects.get(payment_no=payment["payment_no"])
    assert (row.status, row.captured_minor, row.needs_attention) == ("pending", 0, True)
    assert row.attention_reason
    assert get_order(client, payment["order_no"])["status"] == "pending"


def test_the_simulators_word_does_not_move_another_channels_money(client: SignedClient, settings) -> None:
    payment = opened(client, channel="stripe")
    Payment.objects.update(sandbox=False)  # as if Stripe had made it
    settings.STRIPE_SECRET_KEYS = {"test": "sk_test_configured", "live": ""}
    answer = bank.send_webhook(bank.build_webhook(payment, state="paid", captured_minor=10_000))
    assert bank.read_effect(answer) == "unknown_reference"
    assert get_payment(client, payment)["status"] == "pending"


# --- Late ---------------------------------------------------------------------------------------------------------


def test_money_for_a_cancelled_payment_goes_back(client: SignedClient) -> None:
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


def test_money_for_an_expired_payment_is_left_to_a_person_when_we_say_so(
    client: SignedClient, settings
) -> None:

    settings.LATE_MONEY_POLICY = "park"
    payment = opened(client)
    background.time_to_pay_is_over(payment["payment_no"])
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


def test_late_money_told_from_many_sides_goes_back_once(client: SignedClient) -> None:
    payment = opened(client, "no_webhook")
    data(cancel(client, payment))
    bank.pay_closed_payment(payment)
    told = [bank.build_webhook(payment) for _ in range(8)]
    at_once(*[lambda payload=payload: bank.send_webhook(payload) for payload in told])
    background.finish()
    assert bank.read_ledger(payment["payment_no"]) == [("charge", 10_000), ("refund", 10_000)]


def test_a_decline_after_the_cancel_changes_nothing(client: SignedClient) -> None:
    payment = opened(client)
    data(cancel(client, payment))
    assert bank.read_effect(bank.send_webhook(bank.build_webhook(payment, state="declined"))) == "nothing_new"
    assert get_payment(client, payment)["status"] == "cancelled"


def test_paid_and_refunded_stays_succeeded(client: SignedClient) -> None:
    payment = paid(client)
    told = bank.build_webhook(payment)
    from tests.support.shop import refund

    data(refund(client, payment, 10_000))
    assert bank.read_effect(bank.send_webhook(told)) == "nothing_new"
    assert get_payment(client, payment)["status"] == "succeeded"


def test_a_captured_part_told_by_webhook(client: SignedClient) -> None:
    payment = authorized(client)
    answer = bank.send_webhook(bank.build_webhook(payment, state="paid", captured_minor=2_500))
    assert bank.read_effect(answer) == "applied"
    assert get_payment(client, payment)["captured_amount"] == 2_500


def test_headers_name_no_key(client: SignedClient) -> None:
    """A merchant's key opens nothing here, and the bank needs none."""
    payment = opened(client)
    answer = client.post(
        bank.WEBHOOKS,
        bank.build_webhook(payment, state="paid", captured_minor=10_000),
        idempotency_key=new_no(),
    )
    error(answer, 400, "webhook_rejected")


# --- What no column can hold, and what is too long to keep ------------------------------------------------------


def test_a_lone_surrogate_is_kept_as_its_escape(client: SignedClient) -> None:
    """As an authentic bank sends it: valid JSON, and no text that PostgreSQL can hold."""
    payment = opened(client)
    told = bank.build_webhook(payment, state="paid", captured_minor=10_000)
    ids = [told["event_id"] + "\ud800", told["event_id"] + "\udfff"]
    for event_id in ids:
        assert bank.send_webhook(json.dumps({**told, "event_id": event_id}).encode()).status_code == 200
    assert get_payment(client, payment)["status"] == "succeeded"
    kept = ChannelEvent.objects.filter(event_id__startswith=told["event_id"]).values_list(
        "event_id", flat=True
    )
    assert set(kept) == {each[:-1] + f"\\u{ord(each[-1]):04x}" for each in ids}


@pytest.mark.parametrize("field", ["failure_message", "channel_trade_no", "payment_url"])
def test_a_lone_surrogate_in_any_field_is_no_defect_of_ours(client: SignedClient, field: str) -> None:
    told = bank.build_webhook(opened(client), state="declined", captured_minor=0, **{field: "x\ud800"})
    assert bank.send_webhook(json.dumps(told).encode()).status_code < 500


def test_of_a_long_body_the_beginning_is_kept(client: SignedClient) -> None:
    payment = opened(client)
    ours = bank.build_webhook(payment, state="paid", captured_minor=10_000)
    strange = {
        **ours,
        "event_id": "strange",
        "payment": {**ours["payment"], "reference": "PAY-20260101-000000"},
    }
    for told, padding in ((ours, 900_000), (strange, 5_000)):
        body = json.dumps({**told, "padding": "x" * padding}).encode()
        assert bank.send_webhook(body).status_code == 200
        kept = ChannelEvent.objects.get(event_id=told["event_id"])
        assert kept.payload["bytes"] == len(body)
        assert len(json.dumps(kept.payload)) < 4_096
    assert get_payment(client, payment)["status"] == "succeeded"
