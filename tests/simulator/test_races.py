"""The customer and the platform act at the same time: the second one sees the effect of the first one."""

import pytest

from channels.base import Declined, PaymentState, Reported
from channels.simulator import customer
from channels.simulator.channel import SimulatorChannel
from channels.simulator.models import LedgerEntry, SimulatedPayment
from tests.simulator.conftest import Shop, at_once, ledger, ref

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])
ROUNDS = range(12)


def _token(payment_url: str) -> str:
    return payment_url.rsplit("/", 1)[1]


def test_paying_against_cancelling(channel: SimulatorChannel, shop: Shop) -> None:
    for _ in ROUNDS:
        payment = shop.create()
        _, answer = at_once(
            lambda payment=payment: customer.perform_action(
                _token(payment.next_action.url), customer.CustomerAction.PAY
            ),
            lambda payment=payment: channel.cancel_payment(shop.cancellation(payment.reference)),
        )
        assert isinstance(answer, Reported)
        paid = answer.value.state is PaymentState.PAID
        assert paid or answer.value.state is PaymentState.CANCELLED
        assert ledger(payment.reference) == ([("charge", 10_000)] if paid else [])
        assert channel.find_payment(ref(payment.reference)) == answer


def test_cancelling_against_creating(channel: SimulatorChannel, shop: Shop) -> None:
    for _ in ROUNDS:
        request = shop.creation("authorize")
        created, cancelled = at_once(
            lambda request=request: channel.create_payment(request),
            lambda request=request: channel.cancel_payment(shop.cancellation(request.reference)),
        )
        assert isinstance(created, Reported | Declined)
        assert isinstance(cancelled, Reported)
        assert cancelled.value.state is PaymentState.CANCELLED
        assert SimulatedPayment.objects.get(pk=request.reference).state == PaymentState.CANCELLED
        assert ledger(request.reference) in ([], [("authorize", 10_000), ("void", 10_000)])


def test_one_key_from_many_threads(channel: SimulatorChannel, shop: Shop) -> None:
    for _ in ROUNDS:
        request = shop.creation("auto_pay")
        answers = at_once(*[lambda request=request: channel.create_payment(request)] * 8)
        assert len({answer.value for answer in answers if isinstance(answer, Reported)}) == 1
        assert ledger(request.reference) == [("charge", 10_000)]


def test_a_customer_who_clicks_many_times(channel: SimulatorChannel, shop: Shop) -> None:
    for _ in ROUNDS:
        payment = shop.create()
        token = _token(payment.next_action.url)
        pay = [lambda token=token: customer.perform_action(token, customer.CustomerAction.PAY)] * 4
        decline = [lambda token=token: customer.perform_action(token, customer.CustomerAction.DECLINE)] * 4
        at_once(*pay, *decline)
        paid = SimulatedPayment.objects.get(pk=payment.reference).state == PaymentState.PAID
        assert ledger(payment.reference) == ([("charge", 10_000)] if paid else [])


def test_refunds_from_many_threads_stay_within_the_payment(channel: SimulatorChannel, shop: Shop) -> None:
    payment = shop.pay()
    requests = [shop.refund(payment.reference, 3_000) for _ in range(8)]
    answers = at_once(*[lambda request=request: channel.refund_payment(request) for request in requests])
    assert sum(isinstance(answer, Reported) for answer in answers) == 3
    assert LedgerEntry.objects.filter(reference=payment.reference, kind="refund").count() == 3


def test_one_capture_key_from_many_threads(channel: SimulatorChannel, shop: Shop) -> None:
    payment = shop.pay(manual_capture=True)
    request = shop.capture(payment.reference)
    answers = at_once(*[lambda: channel.capture_payment(request)] * 8)
    assert all(isinstance(answer, Reported) for answer in answers)
    assert ledger(payment.reference) == [("authorize", 10_000), ("capture", 10_000)]
