"""Asking: with growing intervals, for days, never with an end made up; and before operations on what is in doubt."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.db.models.functions import Now

from channels.base import UnknownOutcome
from gateway.models import Payment, Refund
from gateway.services.polling import GIVE_UP_PAYMENT_AFTER, GIVE_UP_REFUND_AFTER
from tests.support import background, bank
from tests.support.auditing import _audited  # noqa: F401
from tests.support.channels import InterceptedSimulator, intercept_simulator
from tests.support.polling import poll_due
from tests.support.shop import (
    Body,
    cancel,
    capture,
    create,
    data,
    error,
    get_payment,
    get_refund,
    new_no,
    opened,
    paid,
    refund,
)
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> InterceptedSimulator:
    return intercept_simulator(monkeypatch)


def silent(operation: str, answer: Any) -> Any:
    return UnknownOutcome("no answer", is_channel_fault=False) if operation.startswith("find_") else answer


def one_round() -> None:
    background.next_checks_are_due()
    poll_due()


def test_the_intervals_double_up_to_six_hours(client: SignedClient) -> None:
    opened(client)
    waits = []
    for _ in range(12):
        one_round()
        row = Payment.objects.annotate(wait=F("next_check_at") - Now()).get()
        waits.append(round(row.wait / timedelta(minutes=1)))
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360, 360]


@pytest.mark.parametrize("mute", [False, True])
def test_a_payment_without_an_end_is_left_to_a_person(
    client: SignedClient, line: InterceptedSimulator, mute: bool
) -> None:
    payment = opened(client)
    if mute:
        line.after = silent
    one_round()
    Payment.objects.update(expires_at=Now() - GIVE_UP_PAYMENT_AFTER + timedelta(minutes=5))
    one_round()
    assert not Payment.objects.get().needs_attention
    Payment.objects.update(expires_at=Now() - GIVE_UP_PAYMENT_AFTER)
    one_round()
    row = Payment.objects.get()
    assert (row.status, row.needs_attention, row.next_check_at) == ("pending", True, None)
    line.mend()
    bank.pay(payment)
    bank.deliver_webhooks(payment["payment_no"])
    assert get_payment(client, payment)["status"] == "succeeded", "the truth is still welcome"


def test_a_question_that_was_refused_is_no_reason_to_give_up(
    client: SignedClient, line: InterceptedSimulator
) -> None:
    from channels.base import NotProcessed

    opened(client)
    Payment.objects.update(expires_at=Now() - GIVE_UP_PAYMENT_AFTER)
    line.after = lambda operation, answer: NotProcessed(
        "down", 1.0, is_channel_fault=False, spends_attempt=False
    )
    one_round()
    assert not Payment.objects.get().needs_attention


def test_a_refund_without_an_end_is_left_to_a_person(client: SignedClient) -> None:
    given_back = data(refund(client, paid(client, "refund_pending:9000"), 1_000))
    Refund.objects.update(created_at=Now() - GIVE_UP_REFUND_AFTER + timedelta(minutes=5))
    one_round()
    assert not Payment.objects.get().needs_attention
    Refund.objects.update(created_at=Now() - GIVE_UP_REFUND_AFTER)
    one_round()
    assert Refund.objects.get().next_check_at is None
    assert given_back["refund_no"] in Payment.objects.get().attention_reason
    assert get_refund(client, given_back)["status"] == "processing"


# --- Asking before acting ------------------------------------------------------------------------------------


def paid_and_unheard(client: SignedClient) -> Body:
    payment = opened(client, "no_webhook")
    bank.pay(payment)
    return payment


def test_a_refund_asks_first_when_we_know_of_no_money(client: SignedClient) -> None:
    payment = paid_and_unheard(client)
    assert data(refund(client, payment, 1_000))["status"] == "succeeded"
    assert get_payment(client, payment)["status"] == "succeeded"
    assert bank.read_ledger(payment["payment_no"]) == [("charge", 10_000), ("refund", 1_000)]


def test_a_refund_of_what_is_not_paid_is_refused_by_the_channels_word(client: SignedClient) -> None:
    error(refund(client, opened(client), 1), 409, "payment_not_refundable")
    closed = opened(client)
    data(cancel(client, closed))
    error(refund(client, closed, 1), 409, "payment_not_refundable")


def test_a_capture_asks_first(client: SignedClient) -> None:
    payment = opened(client, "no_webhook", capture_method="manual")
    bank.pay(payment)
    assert data(capture(client, payment, amount=4_000))["captured_amount"] == 4_000


def test_a_cancel_of_what_was_paid_learns_of_it(client: SignedClient) -> None:
    payment = paid_and_unheard(client)
    error(cancel(client, payment), 409, "payment_not_cancellable")
    assert get_payment(client, payment)["status"] == "succeeded"


@pytest.mark.parametrize(
    "operate", [lambda c, p, k: refund(c, p, 1, key=k), lambda c, p, k: capture(c, p, key=k)]
)
def test_nobody_can_tell_is_no_answer_for_good(
    client: SignedClient, line: InterceptedSimulator, operate: Callable[..., Any]
) -> None:
    payment, key = opened(client), new_no("key")
    line.after = silent
    error(operate(client, payment, key), 503, "service_unavailable")
    line.mend()
    assert operate(client, payment, key).status_code == 409, "the key was not spent"


def test_a_creation_that_nobody_has_heard_of_is_not_refundable(client: SignedClient) -> None:
    payment = data(create(client, "timeout_before*2"), 202)
    error(refund(client, payment, 1), 409, "payment_not_refundable")
    background.finish()
