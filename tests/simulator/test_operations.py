"""The bank's operations: one effect for each key, limits that the bank enforces itself, no live payments."""

from dataclasses import replace

import pytest
from django.db import connections, transaction
from django.db.utils import IntegrityError
from django.test.utils import CaptureQueriesContext

from channels.base import (
    ChannelAccount,
    Declined,
    NotFoundAtChannel,
    PaymentState,
    RefundRef,
    RefundState,
    Reported,
)
from channels.simulator.channel import SimulatorChannel
from channels.simulator.models import LedgerEntry, Notification, SimulatedPayment, SimulatedRefund
from gateway.next_action import describe_next_action, read_next_action
from tests.simulator.conftest import Shop, ledger, ref

LIVE_ACCOUNT = ChannelAccount("live")

pytestmark = pytest.mark.django_db(databases=["default", "simulator"])


def test_creation_is_one_insert(channel: SimulatorChannel, shop: Shop) -> None:
    channel.create_payment(shop.creation())
    with CaptureQueriesContext(connections["simulator"]) as queries:
        answer = channel.create_payment(shop.creation())
    assert isinstance(answer, Reported)
    assert [query["sql"].split()[0] for query in queries] == ["INSERT"]


def test_created_payment_is_open_with_a_page(shop: Shop) -> None:
    payment = shop.create()
    token = SimulatedPayment.objects.get(pk=payment.reference).token
    assert (payment.state, payment.amount_minor, payment.currency) == (PaymentState.OPEN, 10_000, "USD")
    assert payment.next_action.url.endswith(f"/checkout/{token}")
    assert payment.channel_trade_no.startswith("sim_pay_")
    assert ledger(payment.reference) == []


def test_the_method_chooses_how_the_customer_comes_to_the_page(channel: SimulatorChannel, shop: Shop) -> None:
    for method in ("simulator", "simulator_qr", "simulator_form"):
        declared = channel.capabilities.get_method(method)
        request = replace(shop.creation(), payment_method=method)
        created = channel.create_payment(request)
        found = channel.find_payment(ref(request.reference))
        assert isinstance(created, Reported)
        assert isinstance(found, Reported)
        described = describe_next_action(created.value.next_action)
        assert declared is not None
        assert described is not None
        assert described["type"] == declared.action
        assert SimulatedPayment.objects.get(pk=request.reference).token in str(described)
        assert found.value.next_action == created.value.next_action
        assert read_next_action(described) == created.value.next_action


def test_same_key_creates_once(channel: SimulatorChannel, shop: Shop) -> None:
    request = shop.creation("auto_pay")
    answers = [channel.create_payment(request) for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    assert ledger(request.reference) == [("charge", 10_000)]


def test_same_reference_under_another_key_is_the_same_payment(channel: SimulatorChannel, shop: Shop) -> None:
    request = shop.creation("auto_pay")
    assert channel.create_payment(request) == channel.create_payment(replace(request, key="another"))
    assert ledger(request.reference) == [("charge", 10_000)]


@pytest.mark.parametrize(
    "change", [{"amount_minor": 1}, {"currency": "EUR"}, {"manual_capture": True}, {"reference": "PAY-other"}]
)
def test_a_key_cannot_be_used_for_another_payment(
    channel: SimulatorChannel, shop: Shop, change: dict[str, object]
) -> None:
    request = shop.creation()
    channel.create_payment(request)
    answer = channel.create_payment(replace(request, **change))
    assert isinstance(answer, Declined)
    assert answer.code == "idempotency_mismatch"
    assert SimulatedPayment.objects.count() == 1


@pytest.mark.parametrize("change", [{"amount_minor": 0}, {"amount_minor": -5}, {"currency": "XXX"}])
def test_impossible_amounts_and_currencies_are_declined(
    channel: SimulatorChannel, shop: Shop, change: dict[str, object]
) -> None:
    assert isinstance(channel.create_payment(shop.creation(**change)), Declined)
    assert not SimulatedPayment.objects.exists()


def test_live_requests_are_refused(channel: SimulatorChannel, shop: Shop) -> None:
    payment = shop.pay()
    live = replace(ref(payment.reference), account=LIVE_ACCOUNT)
    answer = channel.create_payment(shop.creation(account=LIVE_ACCOUNT))
    assert isinstance(answer, Declined)
    assert answer.code == "channel_not_live"
    assert channel.find_payment(live) == NotFoundAtChannel()
    assert channel.find_refund(RefundRef("REF-1", live)) == NotFoundAtChannel()
    assert (
        channel.cancel_payment(replace(shop.cancellation(payment.reference), payment=live))
        == NotFoundAtChannel()
    )
    assert isinstance(
        channel.capture_payment(replace(shop.capture(payment.reference), payment=live)), Declined
    )
    assert isinstance(channel.refund_payment(shop.refund(payment.reference, payment=live)), Declined)
    assert ledger(payment.reference) == [("charge", 10_000)]


def test_a_payment_is_found_by_its_reference(channel: SimulatorChannel, shop: Shop) -> None:
    payment = shop.create()
    assert channel.find_payment(ref(payment.reference)) == Reported(payment)
    assert channel.find_payment(ref("PAY-unknown")) == NotFoundAtChannel()


# --- Cancel ---------------------------------------------------------------------------------------


def test_cancel_ends_an_open_payment_for_good(channel: SimulatorChannel, shop: Shop) -> None:
    payment = shop.create()
    request = shop.cancellation(payment.reference)
    answers = [
        channel.cancel_payment(request),
        channel.cancel_payment(request),
        channel.find_payment(request.payment),
    ]
    assert answers == [Reported(replace(payment, state=PaymentState.CANCELLED))] * 3
    assert Notification.objects.get().event_type == "payment.cancelled"


def test_cancelling_a_paid_payment_reports_it_as_paid(channel: SimulatorChannel, shop: Shop) -> None:
    payment = shop.pay()
    assert channel.cancel_payment(shop.cancellation(payment.reference)) == Reported(payment)
    assert ledger(payment.reference) == [("charge", 10_000)]


def test_cancel_releases_an_authorized_amount_once(channel: SimulatorChannel, shop: Shop) -> None:
    payment = shop.pay(manual_capture=True)
    for _ in range(2):
        answer = channel.cancel_payment(shop.cancellation(payment.reference))
        assert isinstance(answer, Reported)
        assert answer.value.state is PaymentState.CANCELLED
    assert ledger(payment.reference) == [("authorize", 10_000), ("void", 10_000)]


def test_the_tombstone_refuses_a_late_creation(channel: SimulatorChannel, shop: Shop) -> None:
    request = shop.creation("auto_pay")
    for _ in range(2):
        answer = channel.cancel_payment(shop.cancellation(request.reference))
        assert isinstance(answer, Reported)
        assert (answer.value.state, answer.value.amount_minor) == (PaymentState.CANCELLED, 0)
    for _ in range(2):
        answer = channel.create_payment(request)
        assert isinstance(answer, Declined)
        assert answer.code == "payment_cancelled"
    assert ledger(request.reference) == []
    assert not Notification.objects.exists()


def test_an_unpaid_payment_expires(channel: SimulatorChannel, shop: Shop) -> None:
    payment = shop.create(expires_in_seconds=0)
    answer = channel.find_payment(ref(payment.reference))
    assert isinstance(answer, Reported)
    assert (answer.value.state, answer.value.failure_code) == (PaymentState.CANCELLED, "expired")


# --- Capture --------------------------------------------------------------------------------------


def test_capture_takes_all_once(channel: SimulatorChannel, shop: Shop) -> None:
    payment = shop.pay(manual_capture=True)
    assert payment.state is PaymentState.AUTHORIZED
    request = shop.capture(payment.reference)
    expected = Reported(replace(payment, state=PaymentState.PAID, captured_minor=10_000))
    assert [channel.capture_payment(request) for _ in range(3)] == [expected] * 3
    assert ledger(payment.reference) == [("authorize", 10_000), ("capture", 10_000)]


def test_partial_capture_releases_the_rest(channel: SimulatorChannel, shop: Shop) -> None:
    payment = shop.pay(manual_capture=True)
    request = shop.capture(payment.reference, 4_000)
    for _ in range(2):
        answer = channel.capture_payment(request)
        assert isinstance(answer, Reported)
        assert answer.value.captured_minor == 4_000
    assert ledger(payment.reference) == [("authorize", 10_000), ("capture", 4_000), ("void", 6_000)]


@pytest.mark.parametrize("amount", [0, -1, 10_001])
def test_capture_is_at_most_the_authorized_amount(channel: SimulatorChannel, shop: Shop, amount: int) -> None:
    payment = shop.pay(manual_capture=True)
    answer = channel.capture_payment(shop.capture(payment.reference, amount))
    assert isinstance(answer, Declined)
    assert answer.code == "capture_exceeds_authorization"
    assert ledger(payment.reference) == [("authorize", 10_000)]


def test_capture_requires_an_authorized_payment(channel: SimulatorChannel, shop: Shop) -> None:
    codes = []
    for reference in (shop.create().reference, shop.pay().reference, "PAY-unknown"):
        answer = channel.capture_payment(shop.capture(reference))
        assert isinstance(answer, Declined)
        codes.append(answer.code)
    assert codes == ["not_capturable", "not_capturable", "no_such_payment"]


def test_a_capture_key_serves_one_capture(channel: SimulatorChannel, shop: Shop) -> None:
    first, second = shop.pay(manual_capture=True), shop.pay(manual_capture=True)
    request = shop.capture(first.reference, 4_000)
    channel.capture_payment(request)
    for other in (replace(request, amount_minor=5_000), replace(request, payment=ref(second.reference))):
        answer = channel.capture_payment(other)
        assert isinstance(answer, Declined)
        assert answer.code == "idempotency_mismatch"
    assert ledger(second.reference) == [("authorize", 10_000)]


# --- Refund ---------------------------------------------------------------------------------------


def test_a_key_refunds_once(channel: SimulatorChannel, shop: Shop) -> None:
    payment = shop.pay()
    request = shop.refund(payment.reference, 3_000)
    answers = [channel.refund_payment(request) for _ in range(3)]
    assert isinstance(answers[0], Reported)
    assert answers[0].value.state is RefundState.SUCCEEDED
    assert answers[0] == answers[1] == answers[2]
    assert channel.find_refund(RefundRef(request.reference, request.payment)) == answers[0]
    assert ledger(payment.reference) == [("charge", 10_000), ("refund", 3_000)]
    assert LedgerEntry.objects.get(kind="refund").refund_reference == request.reference


def test_several_refunds_stay_within_the_payment(channel: SimulatorChannel, shop: Shop) -> None:
    payment = shop.pay()
    answers = [
        channel.refund_payment(shop.refund(payment.reference, amount)) for amount in (5_000, 8_000, 5_000, 1)
    ]
    assert [type(answer) for answer in answers] == [Reported, Declined, Reported, Declined]
    assert isinstance(answers[1], Declined)
    assert answers[1].code == "refund_exceeds_payment"
    assert ledger(payment.reference) == [("charge", 10_000), ("refund", 5_000), ("refund", 5_000)]


def test_only_what_was_captured_can_be_refunded(channel: SimulatorChannel, shop: Shop) -> None:
    payment = shop.pay(manual_capture=True)
    assert isinstance(channel.refund_payment(shop.refund(payment.reference, 1_000)), Declined)
    channel.capture_payment(shop.capture(payment.reference, 4_000))
    assert isinstance(channel.refund_payment(shop.refund(payment.reference, 4_001)), Declined)
    assert isinstance(channel.refund_payment(shop.refund(payment.reference, 4_000)), Reported)


def test_an_impossible_refund_is_declined(channel: SimulatorChannel, shop: Shop) -> None:
    payment = shop.pay()
    refusals = [
        shop.refund(shop.create().reference),
        shop.refund("PAY-unknown"),
        shop.refund(payment.reference, currency="EUR"),
        shop.refund(payment.reference, 0),
        shop.refund(payment.reference, -1),
    ]
    answers = [channel.refund_payment(request) for request in refusals]
    assert [answer.code for answer in answers if isinstance(answer, Declined)] == [
        "not_refundable",
        "no_such_payment",
        "currency_mismatch",
        "refund_exceeds_payment",
        "refund_exceeds_payment",
    ]
    assert not SimulatedRefund.objects.exists()


@pytest.mark.parametrize("change", [{"amount_minor": 1}, {"reference": "REF-other"}])
def test_a_refund_key_serves_one_refund(
    channel: SimulatorChannel, shop: Shop, change: dict[str, object]
) -> None:
    request = shop.refund(shop.pay().reference, 2_000)
    channel.refund_payment(request)
    answer = channel.refund_payment(replace(request, **change))
    assert isinstance(answer, Declined)
    assert answer.code == "idempotency_mismatch"
    assert SimulatedRefund.objects.count() == 1


def test_an_unknown_refund_is_not_found(channel: SimulatorChannel, shop: Shop) -> None:
    assert channel.find_refund(RefundRef("REF-unknown", ref(shop.pay().reference))) == NotFoundAtChannel()


# --- The ledger -----------------------------------------------------------------------------------


def test_the_database_keeps_the_ledger_append_only(shop: Shop) -> None:
    reference = shop.pay().reference
    entries = LedgerEntry.objects.filter(reference=reference)
    with pytest.raises(IntegrityError), transaction.atomic(using="simulator"):
        entries.update(amount=1)
    with pytest.raises(IntegrityError), transaction.atomic(using="simulator"):
        entries.delete()
    assert ledger(reference) == [("charge", 10_000)]


def test_the_database_refuses_a_second_charge(shop: Shop) -> None:
    entry = LedgerEntry.objects.get(reference=shop.pay().reference)
    entry.pk, entry.key = None, "another-key"
    with pytest.raises(IntegrityError), transaction.atomic(using="simulator"):
        entry.save(force_insert=True)


@pytest.mark.django_db(transaction=True, databases=["default", "simulator"])
def test_a_rollback_of_the_platform_undoes_nothing_at_the_bank(shop: Shop) -> None:
    with transaction.atomic(using="default"):
        reference = shop.pay().reference
        transaction.set_rollback(True, using="default")
    assert ledger(reference) == [("charge", 10_000)]
