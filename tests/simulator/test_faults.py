"""Every fault does what the table of faults says, and repeating the call with the same key has one effect."""

import time
from dataclasses import replace
from typing import Any

import pytest
from django.db import OperationalError

from channels.base import (
    Declined,
    NewKeyRequired,
    NotFoundAtChannel,
    PaymentState,
    RefundRef,
    RefundState,
    Reported,
    UnknownOutcome,
)
from channels.simulator import bank, faults
from channels.simulator.channel import SimulatorChannel
from channels.simulator.models import CallCount, Notification, SimulatedPayment, SimulatedRefund
from tests.simulator.conftest import Shop, ledger, ref

pytestmark = pytest.mark.django_db(databases=["default", "simulator"])

LOSING = [fault for fault in faults.NETWORK_FAULTS if fault.answer is not None and not fault.is_error_stored]


# --- Network faults ----------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", LOSING, ids=lambda fault: fault.name)
def test_a_creation_that_is_lost(channel: SimulatorChannel, shop: Shop, fault: faults.NetworkFault) -> None:
    request = shop.creation(f"auto_pay,{fault.name}*2")
    assert [channel.create_payment(request) for _ in range(2)] == [fault.answer] * 2
    assert isinstance(
        channel.find_payment(ref(request.reference)), Reported if fault.takes_effect else NotFoundAtChannel
    )
    answer = channel.create_payment(request)
    assert isinstance(answer, Reported)
    assert answer.value.state is PaymentState.PAID
    assert ledger(request.reference) == [("charge", 10_000)]


@pytest.mark.parametrize("fault", LOSING, ids=lambda fault: fault.name)
def test_a_cancel_that_is_lost(channel: SimulatorChannel, shop: Shop, fault: faults.NetworkFault) -> None:
    payment = shop.create(f"authorize,cancel:{fault.name}")
    request = shop.cancellation(payment.reference)
    assert channel.cancel_payment(request) == fault.answer
    assert (SimulatedPayment.objects.get().state == PaymentState.CANCELLED) is fault.takes_effect
    answer = channel.cancel_payment(request)
    assert isinstance(answer, Reported)
    assert answer.value.state is PaymentState.CANCELLED
    assert ledger(payment.reference) == [("authorize", 10_000), ("void", 10_000)]


@pytest.mark.parametrize("fault", LOSING, ids=lambda fault: fault.name)
def test_a_capture_that_is_lost(channel: SimulatorChannel, shop: Shop, fault: faults.NetworkFault) -> None:
    payment = shop.create(f"authorize,capture:{fault.name}")
    request = shop.capture(payment.reference)
    assert channel.capture_payment(request) == fault.answer
    assert (SimulatedPayment.objects.get().state == PaymentState.PAID) is fault.takes_effect
    assert isinstance(channel.capture_payment(request), Reported)
    assert ledger(payment.reference) == [("authorize", 10_000), ("capture", 10_000)]


@pytest.mark.parametrize("fault", LOSING, ids=lambda fault: fault.name)
def test_a_refund_that_is_lost(channel: SimulatorChannel, shop: Shop, fault: faults.NetworkFault) -> None:
    payment = shop.pay(f"refund:{fault.name}")
    request = shop.refund(payment.reference)
    assert channel.refund_payment(request) == fault.answer
    assert SimulatedRefund.objects.exists() is fault.takes_effect
    assert isinstance(channel.refund_payment(request), Reported)
    assert ledger(payment.reference) == [("charge", 10_000), ("refund", 10_000)]


@pytest.mark.parametrize("fault", LOSING, ids=lambda fault: fault.name)
def test_a_query_that_is_lost(channel: SimulatorChannel, shop: Shop, fault: faults.NetworkFault) -> None:
    payment = shop.pay(f"query:{fault.name},query_refund:{fault.name}*2")
    assert [channel.find_payment(ref(payment.reference)) for _ in range(2)] == [
        fault.answer,
        Reported(payment),
    ]
    request = shop.refund(payment.reference)
    channel.refund_payment(request)
    question = RefundRef(request.reference, request.payment)
    assert [channel.find_refund(question) for _ in range(2)] == [fault.answer] * 2
    assert isinstance(channel.find_refund(question), Reported)


def test_an_error_that_the_key_keeps(channel: SimulatorChannel, shop: Shop) -> None:
    """The calls are counted for the refund: no call with the first two keys succeeds."""
    payment = shop.pay("refund:error_5xx_kept*2")
    request = shop.refund(payment.reference)
    second, third = replace(request, key="second"), replace(request, key="third")
    answers = [channel.refund_payment(each) for each in (request, request, second, request, third, second)]
    kept = [UnknownOutcome, NewKeyRequired, UnknownOutcome, NewKeyRequired, Reported, NewKeyRequired]
    assert [type(answer) for answer in answers] == kept
    assert ledger(payment.reference) == [("charge", 10_000), ("refund", 10_000)]


def test_a_charge_whose_answer_is_lost(channel: SimulatorChannel, shop: Shop) -> None:
    request = shop.creation("timeout_after_charge*2")
    assert [type(channel.create_payment(request)) for _ in range(3)] == [
        UnknownOutcome,
        UnknownOutcome,
        Reported,
    ]
    assert ledger(request.reference) == [("charge", 10_000)]


def test_a_fault_can_hit_all_calls(channel: SimulatorChannel, shop: Shop) -> None:
    request = shop.creation("timeout_before*always")
    assert {type(channel.create_payment(request)) for _ in range(5)} == {UnknownOutcome}
    assert channel.find_payment(ref(request.reference)) == NotFoundAtChannel()


def test_calls_are_counted_only_where_a_fault_is_scripted(channel: SimulatorChannel, shop: Shop) -> None:
    payment = shop.pay()
    channel.find_payment(ref(payment.reference))
    assert not CallCount.objects.exists()


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Records how long the bank would sleep, in seconds, instead of sleeping."""
    found: list[float] = []
    monkeypatch.setattr(time, "sleep", found.append)
    return found


@pytest.mark.parametrize("name", ["slow", "slow_start"])
def test_a_slow_fault_waits_once(
    channel: SimulatorChannel, shop: Shop, sleeps: list[float], name: str
) -> None:
    request = shop.creation(f"{name}:0.4")
    for _ in range(2):
        assert isinstance(channel.create_payment(request), Reported)
    assert sleeps == [0.4]


@pytest.mark.parametrize(("name", "happens"), [("slow", True), ("slow_start", False)])
def test_a_call_slower_than_its_timeout_is_unknown(
    channel: SimulatorChannel, shop: Shop, sleeps: list[float], name: str, happens: bool
) -> None:
    request = shop.creation(f"{name}:60", timeout_seconds=0.3)
    assert isinstance(channel.create_payment(request), UnknownOutcome)
    assert sleeps == [0.3]
    assert SimulatedPayment.objects.exists() is happens


def test_a_database_error_is_unknown(
    channel: SimulatorChannel, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OperationalError

    monkeypatch.setattr(bank, "create_payment", fail)
    assert isinstance(channel.create_payment(shop.creation()), UnknownOutcome)


# --- Behaviours -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "code"), [("decline", "card_declined"), ("insufficient_funds", "insufficient_funds")]
)
def test_a_declined_creation_stays_declined(
    channel: SimulatorChannel, shop: Shop, behaviour: str, code: str
) -> None:
    request = shop.creation(behaviour)
    for _ in range(2):
        answer = channel.create_payment(request)
        assert isinstance(answer, Declined)
        assert answer.code == code
    found = channel.find_payment(ref(request.reference))
    assert isinstance(found, Reported)
    assert (found.value.state, found.value.failure_code) == (PaymentState.DECLINED, code)
    assert ledger(request.reference) == []


@pytest.mark.parametrize(
    ("simulate", "manual", "state", "entries"),
    [
        ("auto_pay", False, PaymentState.PAID, [("charge", 10_000)]),
        ("auto_pay", True, PaymentState.AUTHORIZED, [("authorize", 10_000)]),
        ("authorize", False, PaymentState.AUTHORIZED, [("authorize", 10_000)]),
        ("auto_pay,pay_declined", False, PaymentState.DECLINED, []),
        ("auto_pay,processing", False, PaymentState.PROCESSING, []),
    ],
)
def test_payments_that_are_submitted_without_the_page(
    channel: SimulatorChannel,
    shop: Shop,
    simulate: str,
    manual: bool,
    state: PaymentState,
    entries: list[Any],
) -> None:
    request = shop.creation(simulate, manual_capture=manual)
    channel.create_payment(request)
    assert SimulatedPayment.objects.get().state == state
    assert ledger(request.reference) == entries


@pytest.mark.parametrize(
    ("simulate", "state", "entries"),
    [
        ("processing:0", PaymentState.PAID, [("charge", 10_000)]),
        ("processing:0,pay_declined", PaymentState.DECLINED, []),
        ("processing:0,authorize", PaymentState.AUTHORIZED, [("authorize", 10_000)]),
    ],
)
def test_a_payment_in_processing_is_decided_by_a_query(
    channel: SimulatorChannel, shop: Shop, simulate: str, state: PaymentState, entries: list[Any]
) -> None:
    payment = shop.pay(simulate)
    assert payment.state is PaymentState.PROCESSING
    for _ in range(2):
        answer = channel.find_payment(ref(payment.reference))
        assert isinstance(answer, Reported)
        assert answer.value.state is state
    assert ledger(payment.reference) == entries


def test_a_payment_in_processing_is_decided_by_the_periodic_task(shop: Shop) -> None:
    payment = shop.pay("processing:0")
    assert bank.settle_due_payments() == 1
    assert bank.settle_due_payments() == 0
    assert ledger(payment.reference) == [("charge", 10_000)]


def test_a_processing_payment_cannot_be_cancelled(channel: SimulatorChannel, shop: Shop) -> None:
    payment = shop.pay("processing:900")
    assert channel.cancel_payment(shop.cancellation(payment.reference)) == Reported(payment)


def test_a_declined_refund_stays_declined(channel: SimulatorChannel, shop: Shop) -> None:
    request = shop.refund(shop.pay("refund_declined").reference)
    for _ in range(2):
        answer = channel.refund_payment(request)
        assert isinstance(answer, Declined)
        assert answer.code == "refund_declined"
    found = channel.find_refund(RefundRef(request.reference, request.payment))
    assert isinstance(found, Reported)
    assert found.value.state is RefundState.FAILED


@pytest.mark.parametrize(
    ("simulate", "state", "again"),
    [
        ("refund_pending:0", RefundState.SUCCEEDED, Declined),
        ("refund_fails_later:0", RefundState.FAILED, Reported),
    ],
)
@pytest.mark.parametrize("is_queried", [True, False], ids=["asked", "by itself"])
def test_a_pending_refund_is_decided(
    channel: SimulatorChannel, shop: Shop, simulate: str, state: RefundState, again: type, is_queried: bool
) -> None:
    payment = shop.pay(simulate)
    request = shop.refund(payment.reference)
    pending = channel.refund_payment(request)
    assert isinstance(pending, Reported)
    assert pending.value.state is RefundState.PENDING
    if is_queried:
        answer = channel.find_refund(RefundRef(request.reference, request.payment))
        assert isinstance(answer, Reported)
        assert answer.value.state is state
    else:
        assert bank.settle_due_payments() == 1
    assert SimulatedRefund.objects.get().state == state
    assert Notification.objects.filter(event_type=f"refund.{state}").count() == 1
    assert isinstance(channel.refund_payment(shop.refund(payment.reference)), again)


def test_pending_refunds_count_towards_the_limit(channel: SimulatorChannel, shop: Shop) -> None:
    payment = shop.pay("refund_pending:900")
    assert isinstance(channel.refund_payment(shop.refund(payment.reference, 6_000)), Reported)
    answer = channel.refund_payment(shop.refund(payment.reference, 6_000))
    assert isinstance(answer, Declined)
    assert answer.code == "refund_exceeds_payment"


def test_the_metadata_of_a_refund_wins_over_the_payments(channel: SimulatorChannel, shop: Shop) -> None:
    payment = shop.pay("refund_declined")
    request = shop.refund(payment.reference, metadata={"simulate": "refund:timeout_after"})
    assert [type(channel.refund_payment(request)) for _ in range(2)] == [UnknownOutcome, Reported]
