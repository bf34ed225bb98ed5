"""Concurrent actions of merchants, customers and channels."""

import threading
from dataclasses import replace

import pytest

from channels.base import Reported
from gateway.models import Payment
from tests.support import background, bank
from tests.support.channels import InterceptedSimulator, intercept_simulator
from tests.support.polling import expire_due
from tests.support.shop import (
    PAYMENTS,
    authorized,
    cancel,
    capture,
    create,
    data,
    error,
    get_order,
    get_payment,
    new_no,
    opened,
    ordered,
    payment_request,
)
from tests.support.signing import SignedClient
from tests.support.threads import at_once, in_background

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> InterceptedSimulator:
    return intercept_simulator(monkeypatch)


def test_cancelling_while_the_channel_is_being_called(
    client: SignedClient, line: InterceptedSimulator
) -> None:
    """The cancel was accepted, so the payment must be cancelled, also when the creation call succeeds."""
    calling, answers = threading.Event(), threading.Event()

    def wait(operation: str, answer: object) -> object:
        if operation == "create_payment":
            calling.set()
            assert answers.wait(60)
        return answer

    line.after = wait
    creating, key = in_background(lambda: create(client)), new_no("key")
    assert calling.wait(60)
    payment = {"payment_no": Payment.objects.get().payment_no}
    assert cancel(client, payment, key=key).status_code == 202
    answers.set()
    creating.result()
    background.finish()
    assert get_payment(client, payment)["status"] == "cancelled"
    assert data(cancel(client, payment, key=key))["status"] == "cancelled"


def test_concurrent_requests_for_one_order_no_create_one_payment(client: SignedClient) -> None:
    wanted = payment_request("auto_pay")
    answers = at_once(*[lambda: client.post(PAYMENTS, wanted)] * 12)
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 11
    (payment_no,) = Payment.objects.values_list("payment_no", flat=True)
    for answer in answers:
        if answer.status_code == 409:
            assert error(answer, 409, "duplicate_order_no")["payment_no"] == payment_no
    assert bank.read_ledger(payment_no) == [("charge", 10_000)]


def test_one_placed_order_is_paid_once(client: SignedClient) -> None:
    order = ordered(client)
    answers = at_once(*[lambda: create(client, "auto_pay", order_no=order["order_no"])] * 12)
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 11
    assert Payment.objects.count() == 1


def test_payment_races_cancellation(client: SignedClient) -> None:
    for _round in range(8):
        payment = opened(client)
        at_once(lambda payment=payment: bank.pay(payment), lambda payment=payment: cancel(client, payment))
        bank.deliver_webhooks(payment["payment_no"])
        background.finish()
        now = get_payment(client, payment)
        charged = [("charge", 10_000)] if now["status"] == "succeeded" else []
        assert bank.read_ledger(payment["payment_no"]) == charged
        order = get_order(client, payment["order_no"])["status"]
        assert (now["status"], order) in (("succeeded", "paid"), ("cancelled", "cancelled"))


def test_capture_races_cancellation_and_expiry(client: SignedClient) -> None:
    for _round in range(8):
        payment = authorized(client)
        background.expire_payment(payment["payment_no"])
        answers = at_once(
            lambda payment=payment: capture(client, payment, amount=4_000),
            lambda payment=payment: cancel(client, payment),
            lambda payment=payment: capture(client, payment, amount=5_000),
        )
        expire_due()
        background.finish()
        assert {answer.status_code for answer in answers} <= {200, 409}
        now = get_payment(client, payment)
        kinds = [kind for kind, _amount in bank.read_ledger(payment["payment_no"])]
        if now["status"] == "cancelled":
            assert kinds == ["authorize", "void"]
        else:
            assert (now["status"], kinds) == ("succeeded", ["authorize", "capture", "void"])
            assert ("capture", now["captured_amount"]) in bank.read_ledger(payment["payment_no"])


def test_two_concurrent_captures_capture_once(client: SignedClient) -> None:
    payment = authorized(client)
    answers = at_once(*[lambda: capture(client, payment, amount=4_000)] * 6)
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 5
    assert get_payment(client, payment)["captured_amount"] == 4_000


# --- Mismatches ---------------------------------------------------------------------


LIES = [
    {"amount_minor": 9_999, "captured_minor": 9_999},
    {"currency": "EUR"},
    {"reference": "PAY-20250101-000000000000"},
    {"captured_minor": 0},
    {"captured_minor": 10_001},
]


def _lie(line: InterceptedSimulator, change: dict, *operations: str) -> None:
    def after(operation: str, answer: object) -> object:
        if operation in operations and isinstance(answer, Reported):
            return Reported(replace(answer.value, **change))
        return answer

    line.after = after


def _assert_parked(client: SignedClient, payment: dict, definition: str, status: str) -> None:
    saga = background.saga_of(payment["payment_no"], definition)
    assert (saga.status, saga.needs_attention) == ("in_progress", True), saga.attention_reason
    assert get_payment(client, payment)["status"] == status


@pytest.mark.parametrize("change", LIES)
def test_a_mismatch_at_creation_needs_review(
    client: SignedClient, line: InterceptedSimulator, change: dict
) -> None:
    _lie(line, change, "create_payment")
    payment = data(create(client, "auto_pay"), 202)
    background.finish()
    _assert_parked(client, payment, "payment.create", "pending")


@pytest.mark.parametrize("change", LIES)
def test_a_mismatch_at_capture_needs_review(
    client: SignedClient, line: InterceptedSimulator, change: dict
) -> None:
    payment = authorized(client)
    _lie(line, change, "capture_payment")
    assert data(capture(client, payment), 202)["status"] == "authorized"
    background.finish()
    _assert_parked(client, payment, "payment.capture", "authorized")


@pytest.mark.parametrize("change", LIES)
@pytest.mark.parametrize("is_queried", [False, True])
def test_a_mismatch_at_cancellation_needs_review(
    client: SignedClient, line: InterceptedSimulator, change: dict, is_queried: bool
) -> None:
    payment = opened(client, "cancel:timeout_after,no_webhook" if is_queried else "no_webhook")
    bank.pay(payment)
    _lie(line, change, "cancel_payment", "find_payment")
    assert data(cancel(client, payment), 202)["status"] == "pending"
    background.finish()
    _assert_parked(client, payment, "payment.cancel", "pending")
