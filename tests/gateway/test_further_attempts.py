"""Further attempts of a payment that ended without money: the same order and payment (ADR 18)."""

from collections.abc import Callable

import pytest
from django.db import IntegrityError, transaction

from channels.simulator.models import SimulatedPayment
from events.models import OutboxEvent
from gateway.models import Payment, PaymentAttempt
from sagas.models import SagaInstance
from tests.support import background, bank
from tests.support.auditing import _audited  # noqa: F401
from tests.support.shop import (
    Body,
    cancel,
    cancel_order,
    create,
    data,
    error,
    get_order,
    get_payment,
    new_no,
    opened,
    paid,
    refund,
    sync,
)
from tests.support.signing import SignedClient
from tests.support.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


def declined(client: SignedClient) -> Body:
    order_no = new_no()
    details = error(create(client, "decline", order_no=order_no), 402, "payment_declined")
    return {"order_no": order_no, "payment_no": details["payment_no"]}


def cancelled(client: SignedClient) -> Body:
    payment = opened(client)
    data(cancel(client, payment))
    return payment


def again(client: SignedClient, ended: Body, simulate: str = "", **changes: object) -> Body:
    payment: Body = data(create(client, simulate, order_no=ended["order_no"], **changes))
    assert payment["payment_no"] == ended["payment_no"]
    return payment


def test_a_further_attempt_pays_the_order_after_a_decline(client: SignedClient) -> None:
    ended = declined(client)
    assert get_order(client, ended["order_no"])["status"] == "cancelled"
    payment = again(client, ended, subject="Coffee, once more")
    assert (payment["status"], payment["subject"]) == ("pending", "Coffee, once more")
    assert payment["payment_url"]
    assert get_order(client, ended["order_no"])["status"] == "pending"
    bank.pay(payment)
    bank.deliver_webhooks(f"{payment['payment_no']}-2")
    now = get_payment(client, payment)
    assert (now["status"], now["failure_code"]) == ("succeeded", None)
    assert [attempt["status"] for attempt in now["attempts"]] == ["declined", "succeeded"]
    assert get_order(client, ended["order_no"])["status"] == "paid"
    assert Payment.objects.count() == 1
    result = OutboxEvent.objects.filter(ordering_key=payment["payment_no"]).order_by("id")
    assert list(result.values_list("type", flat=True)) == [
        "payment.created",
        "payment.failed",
        "payment.retried",
        "payment.succeeded",
    ]
    assert data(refund(client, payment, 10_000))["status"] == "succeeded"
    error(create(client, order_no=ended["order_no"]), 409, "duplicate_order_no")


@pytest.mark.parametrize("how", ["cancelled", "expired"])
def test_a_further_attempt_pays_the_order_after_cancellation_or_expiry(
    client: SignedClient, how: str
) -> None:
    ended = opened(client)
    if how == "cancelled":
        data(cancel(client, ended))
    else:
        bank.let_payment_expire(ended["payment_no"])
        data(sync(client, ended))
    assert get_payment(client, ended)["status"] == how
    assert again(client, ended, "auto_pay")["status"] == "succeeded"
    assert get_order(client, ended["order_no"])["status"] == "paid"


def test_further_attempts_can_be_declined_repeatedly(client: SignedClient) -> None:
    ended = declined(client)
    for _ in range(2):
        details = error(create(client, "decline", order_no=ended["order_no"]), 402, "payment_declined")
        assert details["payment_no"] == ended["payment_no"]
    assert again(client, ended, "auto_pay")["status"] == "succeeded"
    assert PaymentAttempt.objects.count() == 4


def test_the_first_key_replays_the_answer_of_the_first_attempt(client: SignedClient) -> None:
    order_no = new_no()
    first = create(client, "decline", order_no=order_no, key="first")
    payment = again(client, error(first, 402, "payment_declined"), key="second")
    assert create(client, "decline", order_no=order_no, key="first").content == first.content
    assert data(create(client, order_no=order_no, key="second")) == payment
    assert PaymentAttempt.objects.count() == 2


def test_two_concurrent_requests_make_one_attempt(client: SignedClient) -> None:
    ended = declined(client)
    answers = at_once(*[lambda: create(client, order_no=ended["order_no"])] * 4)
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    assert PaymentAttempt.objects.count() == 2
    assert SimulatedPayment.objects.count() == 2


def test_a_duplicate_payment_of_an_earlier_attempt_is_refunded(client: SignedClient) -> None:
    ended = opened(client)
    data(cancel(client, ended))
    payment = again(client, ended)
    bank.pay_closed_payment(ended)
    assert bank.deliver_webhooks(ended["payment_no"])[-1] == "late_money"
    background.finish()
    assert bank.read_ledger(ended["payment_no"]) == [("charge", 10_000), ("refund", 10_000)]
    assert get_payment(client, payment)["status"] == "pending"
    bank.pay(payment)
    bank.deliver_webhooks(f"{payment['payment_no']}-2")
    now = get_payment(client, payment)
    assert (now["status"], now["refunded_amount"]) == ("succeeded", 0)
    assert now["attempts"][0]["duplicate_refunded_amount"] == 10_000


def test_a_cancelled_order_gets_no_further_attempt(client: SignedClient) -> None:
    ended = opened(client)
    data(cancel_order(client, ended["order_no"]))
    error(create(client, order_no=ended["order_no"]), 409, "order_not_payable")
    assert get_payment(client, ended)["status"] == "cancelled"


def test_a_further_attempt_with_another_amount_is_refused(client: SignedClient) -> None:
    ended = declined(client)
    error(create(client, order_no=ended["order_no"], amount=9_000), 422, "order_mismatch")
    error(create(client, order_no=ended["order_no"], currency="EUR"), 422, "order_mismatch")


@pytest.mark.parametrize("how", ["open", "paid", "late money"])
def test_an_open_or_paid_payment_gets_no_further_attempt(client: SignedClient, how: str) -> None:
    payment = paid(client) if how == "paid" else opened(client)
    if how == "late money":
        data(cancel(client, payment))
        bank.pay_closed_payment(payment)
        bank.deliver_webhooks(payment["payment_no"])
        background.finish()
    details = error(create(client, order_no=payment["order_no"]), 409, "duplicate_order_no")
    assert details["payment_no"] == payment["payment_no"]


def test_a_further_attempt_with_a_lost_answer_is_finished_by_a_worker(client: SignedClient) -> None:
    ended = declined(client)
    answer = create(client, "timeout_after_charge,query:timeout_before", order_no=ended["order_no"])
    assert data(answer, 202)["payment_no"] == ended["payment_no"]
    error(create(client, order_no=ended["order_no"]), 409, "duplicate_order_no")
    background.finish()
    assert get_payment(client, ended)["status"] == "succeeded"
    assert bank.read_ledger(f"{ended['payment_no']}-2") == [("charge", 10_000)]
    assert SagaInstance.objects.get(definition="payment.retry").status == "completed"


def test_a_further_attempt_is_cancelled_like_the_first(client: SignedClient) -> None:
    ended = declined(client)
    payment = again(client, ended)
    assert data(cancel(client, payment))["status"] == "cancelled"
    assert get_order(client, ended["order_no"])["status"] == "cancelled"


@pytest.mark.parametrize("ended_by", [declined, cancelled])
def test_a_further_attempt_is_cancelled_while_the_channel_is_being_called(
    client: SignedClient, ended_by: Callable[[SignedClient], Body]
) -> None:
    ended, key = ended_by(client), new_no("key")
    data(create(client, "timeout_before", order_no=ended["order_no"]), 202)
    accepted = cancel(client, ended, key=key)
    assert data(accepted, 202)["status"] == "pending"
    background.finish()
    assert data(cancel(client, ended, key=key))["status"] == "cancelled"
    assert get_order(client, ended["order_no"])["status"] == "cancelled"


@pytest.mark.parametrize("ended_by", [declined, cancelled])
def test_a_cancellation_comes_too_late_for_a_further_attempt_that_was_submitted(
    client: SignedClient, ended_by: Callable[[SignedClient], Body]
) -> None:
    """The customer has submitted the payment: the channel decides, and the cancellation is refused for good."""
    ended, key = ended_by(client), new_no("key")
    data(create(client, "processing:3600,timeout_after", order_no=ended["order_no"]), 202)
    simulated = SimulatedPayment.objects.get(pk=f"{ended['payment_no']}-2")
    bank.pay({"payment_url": f"/checkout/{simulated.token}"})
    assert cancel(client, ended, key=key).status_code == 202
    background.finish()
    assert get_payment(client, ended)["status"] == "processing"
    error(cancel(client, ended, key=key), 409, "payment_not_cancellable")


def test_a_further_attempt_can_be_declined_after_a_cancellation(client: SignedClient) -> None:
    ended = cancelled(client)
    error(create(client, "decline", order_no=ended["order_no"]), 402, "payment_declined")
    assert get_payment(client, ended)["status"] == "failed"


def test_only_a_further_attempt_reopens_a_closed_payment(client: SignedClient) -> None:
    declined(client)
    with pytest.raises(IntegrityError, match="cannot become"), transaction.atomic():
        Payment.objects.update(status="pending")
    with pytest.raises(IntegrityError, match="cannot become"), transaction.atomic():
        Payment.objects.update(status="succeeded", captured_minor=1, channel_reference="x")


def test_a_refused_card_on_the_page_leaves_the_payment_open(client: SignedClient) -> None:
    payment = opened(client)
    bank.decline_card(payment)
    assert bank.deliver_webhooks(payment["payment_no"]) == ["applied"]
    now = get_payment(client, payment)
    assert (now["status"], now["failure_code"]) == ("pending", "card_declined")
    bank.pay(payment)
    bank.deliver_webhooks(payment["payment_no"])
    now = get_payment(client, payment)
    assert (now["status"], now["failure_code"]) == ("succeeded", None)
