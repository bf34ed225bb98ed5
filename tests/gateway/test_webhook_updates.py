"""An event can have several updates and any kind of body, and is acknowledged as its channel expects."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
from django.db import transaction
from django.http import HttpResponse
from django.test import Client

from channels.base import (
    Acknowledgement,
    ChannelPayment,
    ChannelRefund,
    ChannelUpdate,
    PaymentState,
    RefundState,
    WebhookEvent,
)
from gateway.models import ChannelEvent, PaymentReview
from gateway.services.payment_reviews import resolve_open_reviews
from tests.support.channels import AdditionalChannel, add_channel
from tests.support.shop import Body, data, get_payment, opened
from tests.support.signing import SignedClient
from tests.support.triggers import without_triggers

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])
_numbers = itertools.count(1)


@pytest.fixture
def bank(monkeypatch: pytest.MonkeyPatch) -> AdditionalChannel:
    return add_channel(monkeypatch, "bank")


def waits(client: SignedClient) -> Body:
    return opened(client, channel="bank", metadata={"bank": "no_webhook"})


def paid(payment: Body, **changes: Any) -> ChannelPayment:
    reported = ChannelPayment(
        payment["payment_no"], payment["channel_trade_no"], PaymentState.PAID, 10_000, "USD", 10_000
    )
    return replace(reported, **changes)


def send(
    bank: AdditionalChannel,
    *updates: ChannelUpdate,
    acknowledgement: Acknowledgement | None = None,
    body: bytes = b"{}",
    event_id: str = "",
) -> HttpResponse:
    event_id = event_id or f"evt-{next(_numbers)}"
    event = WebhookEvent(event_id, "reported", updates, acknowledgement=acknowledgement)
    bank.parse_webhook = lambda _account, _request: event  # type: ignore[attr-defined]
    return Client().post("/api/v1/webhooks/bank", body, content_type="application/x-www-form-urlencoded")


@pytest.mark.parametrize("is_unknown_first", [True, False])
def test_several_updates_of_which_one_is_unknown(
    client: SignedClient, bank: AdditionalChannel, is_unknown_first: bool
) -> None:
    first, second = waits(client), waits(client)
    unknown = paid(first, reference="0-of-another" if is_unknown_first else "Z-of-another")
    assert data(send(bank, unknown, paid(second), paid(first)))["effect"] == "applied"
    assert [get_payment(client, each)["status"] for each in (first, second)] == ["succeeded"] * 2
    assert ChannelEvent.objects.get().effect == "applied"


def rename(old: str, new: str) -> None:
    """Gives the payment another number, as if a restore had lost the old one."""
    with without_triggers() as cursor:
        for table, column in (("payments", "payment_no"), ("payment_attempts", "reference")):
            cursor.execute(f"UPDATE {table} SET {column} = %s WHERE {column} = %s", [new, old])


def list_open_reviews() -> list[str]:
    return list(PaymentReview.objects.filter(resolved_at=None).values_list("payment__payment_no", flat=True))


def test_an_update_whose_payment_becomes_known_is_applied_when_the_event_comes_again(
    client: SignedClient, bank: AdditionalChannel
) -> None:
    """Updates of known payments are not applied twice: otherwise the review of the first one would open again."""
    first, second = waits(client), waits(client)
    number = second["payment_no"]
    updates = (paid(first, amount_minor=9_999), paid(second))
    rename(number, "PAY-20260101-000001")
    assert data(send(bank, *updates, event_id="evt-a"))["effect"] == "parked"
    assert list_open_reviews() == [first["payment_no"]]
    with transaction.atomic():
        resolve_open_reviews(payment_no=first["payment_no"], actor="ana", reason="9,999 is a typing error")
    assert data(send(bank, *updates, event_id="evt-a"))["effect"] == "unknown_reference"
    stored = ChannelEvent.objects.get()
    assert (stored.effect, stored.unknown_updates) == ("parked", [f"payment {number}"])
    rename("PAY-20260101-000001", number)
    assert data(send(bank, *updates, event_id="evt-a"))["effect"] == "applied"
    assert get_payment(client, second)["status"] == "succeeded"
    assert data(send(bank, *updates, event_id="evt-a"))["effect"] == "nothing_new"
    stored.refresh_from_db()
    assert (stored.effect, stored.unknown_updates, list_open_reviews()) == ("parked", None, [])


def test_an_update_that_fails_rolls_the_others_back(client: SignedClient, bank: AdditionalChannel) -> None:
    """A refund of a payment that is not known to be paid cannot be recorded yet: the event is not acknowledged, so the
    channel sends it again."""
    first, second = sorted((waits(client), waits(client)), key=lambda payment: str(payment["payment_no"]))
    refunded = ChannelRefund(
        "",
        "r-1",
        RefundState.SUCCEEDED,
        4_000,
        "USD",
        environment="test",
        payment_reference=second["payment_no"],
    )
    success = Acknowledgement(b"success")
    refused = send(bank, paid(first), refunded, acknowledgement=success)
    assert (refused.status_code, b"success" in refused.content) == (503, False)
    assert get_payment(client, first)["status"] == "pending"
    assert not ChannelEvent.objects.exists()


def test_the_acknowledgement_is_the_channels(client: SignedClient, bank: AdditionalChannel) -> None:
    payment = waits(client)
    wanted = Acknowledgement(b"success", "text/plain; charset=gbk", 202)
    for _time in range(2):
        answer = send(bank, paid(payment), acknowledgement=wanted)
        found = (answer.content, answer["Content-Type"], answer.status_code)
        assert found == (wanted.body, wanted.content_type, wanted.status)
    assert get_payment(client, payment)["captured_amount"] == 10_000


@pytest.mark.parametrize("body", [b"trade_status=TRADE_SUCCESS&buyer=a%40b.example", b"\xff\xfe", b""])
def test_a_body_that_is_not_json(client: SignedClient, bank: AdditionalChannel, body: bytes) -> None:
    """If the channel provides no payload to store, only the size of the body is stored: it may have personal data."""
    payment = waits(client)
    assert data(send(bank, paid(payment), body=body))["effect"] == "applied"
    assert ChannelEvent.objects.get().payload == {"unreadable": True, "bytes": len(body)}
