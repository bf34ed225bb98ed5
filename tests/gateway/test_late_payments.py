"""Late payments, duplicate payments, and refunds whose outcome changes.

A late or duplicate payment is refunded or needs review (LATE_MONEY_POLICY), with an event.
"""

from dataclasses import replace

import pytest
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from prometheus_client import REGISTRY

from channels.base import ChannelRefund, PaymentState, RefundState
from channels.simulator import bank as simulated_bank
from channels.simulator.models import SimulatedPayment
from events.models import OutboxEvent
from gateway.models import Payment, PaymentAttempt, Refund, RoutingRule, UpdateEffect
from gateway.services.channel_updates.payments import apply_payment_update
from gateway.services.channel_updates.refunds import apply_refund_update
from gateway.services.reconciliation.comparison import has_listed_outcome
from gateway.services.refund_late_payments import refund_late_payments
from gateway.update_source import UpdateSource
from sagas.models import SagaInstance
from tests.support import background, bank
from tests.support.auditing import _audited, findings  # noqa: F401
from tests.support.channels import AdditionalChannel, add_channel
from tests.support.polling import poll_due
from tests.support.shop import (
    PAYMENTS,
    Body,
    cancel,
    data,
    error,
    get_payment,
    get_refund,
    opened,
    paid,
    payment_request,
    refund,
    sync,
)
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


@pytest.fixture
def policy_park(settings) -> None:
    settings.LATE_MONEY_POLICY = "park"


@pytest.fixture
def banks(monkeypatch: pytest.MonkeyPatch, transactional_db: None) -> list[AdditionalChannel]:
    for priority, name in enumerate(("south", "north")):
        RoutingRule.objects.create(environment="test", channel=name, priority=priority)
    return [add_channel(monkeypatch, name) for name in ("north", "south")]


def fail_over(client: SignedClient, south: str = "", **changes: object) -> Body:
    """A payment that the first channel declined and that is open at the second one."""
    wanted = payment_request(channel=..., metadata={"north": "decline_elsewhere", "south": south}, **changes)
    payment: Body = data(client.post(PAYMENTS, wanted))
    assert payment["channel"] == "south"
    return payment


def pay_earlier_attempt(payment: Body, *, holds: bool = False) -> UpdateEffect:
    """The customer pays the first attempt, which its channel had declined. `holds`: the money is only authorized."""
    reference = payment["payment_no"]
    found = SimulatedPayment.objects.filter(pk=reference)
    found.update(state="open", failure_code="", failure_message="", manual_capture=holds)
    bank.pay({"payment_url": f"/checkout/{found.get().token}"})
    return apply_payment_update(update=bank.get_channel_payment(reference), source=UpdateSource("north"))


def events_of(payment: Body, kind: str) -> list[Body]:
    rows = OutboxEvent.objects.filter(ordering_key=payment["payment_no"], type=kind).order_by("id")
    return [row.data for row in rows]


# --- Late payments ---


def closed(client: SignedClient, how: str) -> Body:
    payment = opened(client)
    match how:
        case "cancelled":
            data(cancel(client, payment))
        case "failed":
            bank.decline(payment)
            bank.deliver_webhooks(payment["payment_no"])
        case "expired":
            bank.let_payment_expire(payment["payment_no"])
            data(sync(client, payment))
    assert get_payment(client, payment)["status"] == how
    return payment


@pytest.mark.parametrize("how", ["cancelled", "failed", "expired"])
def test_a_late_payment_is_refunded(client: SignedClient, how: str) -> None:
    payment = closed(client, how)
    bank.pay_closed_payment(payment)
    assert bank.deliver_webhooks(payment["payment_no"])[-1] == "late_money"
    background.finish()
    assert bank.read_ledger(payment["payment_no"])[-2:] == [("charge", 10_000), ("refund", 10_000)]
    now = get_payment(client, payment)
    assert (now["status"], now["captured_amount"], now["refunded_amount"]) == (how, 10_000, 10_000)
    assert len(events_of(payment, "payment.late_success")) == 1
    assert not Payment.objects.get().needs_attention


@pytest.mark.parametrize("refunded", [10_000, 4_000])
def test_of_a_late_payment_what_is_left_is_refunded(client: SignedClient, refunded: int) -> None:
    """The money is refunded at the bank before a worker runs the automatic refund."""
    payment = closed(client, "cancelled")
    bank.pay_closed_payment(payment)
    assert bank.deliver_webhooks(payment["payment_no"])[-1] == "late_money"
    assert simulated_bank.refund_at_bank(payment["payment_no"], refunded)
    bank.deliver_webhooks(payment["payment_no"])
    assert get_payment(client, payment)["refunded_amount"] == refunded
    background.finish()
    entries = bank.read_ledger(payment["payment_no"])
    assert sum(amount for kind, amount in entries if kind == "refund") == 10_000
    assert get_payment(client, payment)["refunded_amount"] == 10_000
    saga = SagaInstance.objects.get(definition="refund.create")
    assert (saga.status, saga.needs_attention) == (
        "compensated" if refunded == 10_000 else "completed",
        False,
    )
    assert not Payment.objects.get().needs_attention


@pytest.mark.usefixtures("policy_park")
@pytest.mark.parametrize("how", ["cancelled", "failed", "expired"])
def test_a_late_payment_needs_review(client: SignedClient, how: str) -> None:
    payment = closed(client, how)
    bank.pay_closed_payment(payment)
    assert bank.deliver_webhooks(payment["payment_no"])[-1] == "late_money"
    background.finish()
    assert ("refund", 10_000) not in bank.read_ledger(payment["payment_no"])
    row = Payment.objects.get()
    assert (row.needs_attention, row.attention_reason) == (True, f"Paid after the payment was {how}")
    assert len(events_of(payment, "payment.late_success")) == 1
    assert bank.read_effect(bank.send_webhook(bank.build_webhook(payment))) == "nothing_new"


def test_funds_held_for_a_closed_payment_are_released(client: SignedClient) -> None:
    payment = opened(client, capture_method="manual")
    data(cancel(client, payment))
    bank.pay_closed_payment(payment)
    assert bank.deliver_webhooks(payment["payment_no"])[-1] == "late_money"
    assert bank.read_effect(bank.send_webhook(bank.build_webhook(payment))) == "nothing_new", (
        "one release is enough"
    )
    background.finish()
    assert bank.read_ledger(payment["payment_no"]) == [("authorize", 10_000), ("void", 10_000)]
    assert get_payment(client, payment)["status"] == "cancelled"


@pytest.mark.usefixtures("policy_park")
def test_funds_held_for_a_closed_payment_need_review(client: SignedClient) -> None:
    payment = opened(client, capture_method="manual")
    data(cancel(client, payment))
    bank.pay_closed_payment(payment)
    bank.deliver_webhooks(payment["payment_no"])
    background.finish()
    assert Payment.objects.get().needs_attention
    assert bank.read_ledger(payment["payment_no"]) == [("authorize", 10_000)]


def test_held_funds_that_are_captured_before_the_release_are_a_late_payment(client: SignedClient) -> None:
    payment = opened(client)
    data(cancel(client, payment))
    assert (
        bank.read_effect(bank.send_webhook(bank.build_webhook(payment, state="authorized"))) == "late_money"
    )
    bank.pay_closed_payment(payment)  # before our release arrives
    background.finish()
    assert bank.read_ledger(payment["payment_no"]) == [("charge", 10_000), ("refund", 10_000)]


# --- Duplicate payments ---


@pytest.mark.parametrize("south", ["", "auto_pay"])
def test_a_duplicate_payment_is_refunded_and_the_payment_continues(
    client: SignedClient, banks: list[AdditionalChannel], south: str
) -> None:
    payment = fail_over(client, south)
    assert pay_earlier_attempt(payment) == "late_money"
    update = bank.get_channel_payment(payment["payment_no"])
    assert apply_payment_update(update=update, source=UpdateSource("north")) == "nothing_new", "one event"
    background.finish()
    assert bank.read_ledger(payment["payment_no"]) == [("charge", 10_000), ("refund", 10_000)]
    if not south:
        bank.pay(payment)
        update = bank.get_channel_payment(f"{payment['payment_no']}-2")
        assert apply_payment_update(update=update, source=UpdateSource("south")) == "applied"
    now = get_payment(client, payment)
    assert (now["status"], now["captured_amount"], now["refunded_amount"]) == ("succeeded", 10_000, 0)
    first, second = now["attempts"]
    assert (first["status"], first["duplicate_amount"], first["duplicate_refunded_amount"]) == (
        "succeeded",
        10_000,
        10_000,
    )
    assert (second["status"], second["duplicate_amount"]) == ("succeeded", 0)
    (event,) = events_of(payment, "payment.paid_twice")
    assert event["attempt"]["duplicate_amount"] == 10_000
    assert data(refund(client, payment, 10_000))["status"] == "succeeded", (
        "the payment's own amount is untouched"
    )


@pytest.mark.usefixtures("policy_park")
def test_a_duplicate_payment_needs_review(client: SignedClient, banks: list[AdditionalChannel]) -> None:
    payment = fail_over(client, "auto_pay")
    assert pay_earlier_attempt(payment) == "late_money"
    background.finish()
    assert bank.read_ledger(payment["payment_no"]) == [("charge", 10_000)]
    row = Payment.objects.get()
    assert (row.status, row.needs_attention) == ("succeeded", True)
    assert row.attention_reason == "Attempt 1 at north was paid after a later attempt had replaced it"


def test_a_duplicate_payment_that_cannot_be_refunded_needs_review(
    client: SignedClient, banks: list[AdditionalChannel]
) -> None:
    payment = fail_over(client, "auto_pay")
    SimulatedPayment.objects.filter(pk=payment["payment_no"]).update(simulate="refund_declined")
    pay_earlier_attempt(payment)
    background.finish()
    attempt = PaymentAttempt.objects.get(number=1)
    assert (attempt.duplicate_minor, attempt.duplicate_refundable_minor) == (10_000, 10_000)
    assert "late payment" in Payment.objects.get().attention_reason


def test_funds_held_for_an_earlier_attempt_are_released(
    client: SignedClient, banks: list[AdditionalChannel]
) -> None:
    payment = fail_over(client)
    assert pay_earlier_attempt(payment, holds=True) == "late_money"
    background.finish()
    assert bank.get_channel_payment(payment["payment_no"]).state == PaymentState.CANCELLED
    assert get_payment(client, payment)["status"] == "pending"
    assert data(cancel(client, payment))["status"] == "cancelled"


def test_only_the_channel_of_an_attempt_can_report_it(
    client: SignedClient, banks: list[AdditionalChannel]
) -> None:
    payment = fail_over(client)
    update = replace(
        bank.get_channel_payment(payment["payment_no"]), state=PaymentState.PAID, captured_minor=10_000
    )
    assert apply_payment_update(update=update, source=UpdateSource("south")) == "unknown_reference"
    assert (
        apply_payment_update(
            update=replace(update, captured_minor=1, amount_minor=1), source=UpdateSource("north")
        )
        == "parked"
    )
    assert PaymentAttempt.objects.filter(duplicate_minor__gt=0).count() == 0


# --- Refunds whose outcome changes ---


def build_refund_update(refunded: Body, state: RefundState) -> ChannelRefund:
    row = Refund.objects.get(refund_no=refunded["refund_no"])
    number = row.channel_refund_no or "sim_ref_x"
    return ChannelRefund(row.refund_no, number, state, row.amount_minor, row.currency)


def declined_refund(client: SignedClient, payment: Body, amount: int) -> Body:
    details = error(refund(client, payment, amount), 402, "refund_declined")
    return {"refund_no": details["refund_no"]}


def test_a_failed_refund_succeeds(client: SignedClient) -> None:
    payment = paid(client, "refund_declined")
    refunded = declined_refund(client, payment, 4_000)
    bank.complete_failed_refund(refunded["refund_no"])
    update = build_refund_update(refunded, RefundState.SUCCEEDED)
    assert apply_refund_update(update=update, source=UpdateSource("simulator")) == "nothing_new", (
        "the update may be an old one"
    )
    assert Refund.objects.get().next_check_at is not None, "the channel is queried"
    assert apply_refund_update(update=update, source=UpdateSource("simulator"), is_current=True) == "applied"
    assert (
        apply_refund_update(update=update, source=UpdateSource("simulator"), is_current=True) == "nothing_new"
    )
    now, row = get_payment(client, payment), get_refund(client, refunded)
    assert (now["refunded_amount"], now["refundable_amount"]) == (4_000, 6_000), "it cannot be refunded again"
    assert (row["status"], row["previous_status"]) == ("succeeded", "failed")
    assert row["outcome_changed_at"]
    assert not Payment.objects.get().needs_attention
    (event,) = events_of(payment, "refund.succeeded")
    assert event["previous_status"] == "failed"
    assert findings() == []


def test_a_failed_refund_succeeds_after_the_amount_was_refunded_again(
    client: SignedClient,
) -> None:
    payment = paid(client, "refund_declined")
    refunded = declined_refund(client, payment, 8_000)
    SimulatedPayment.objects.update(simulate="")
    Payment.objects.update(metadata={})
    data(refund(client, payment, 7_000))
    update = build_refund_update(refunded, RefundState.SUCCEEDED)
    assert apply_refund_update(update=update, source=UpdateSource("simulator"), is_current=True) == "applied"
    assert (
        apply_refund_update(update=update, source=UpdateSource("simulator"), is_current=True) == "nothing_new"
    )
    assert get_payment(client, payment)["refunded_amount"] == 10_000
    row = get_refund(client, refunded)
    assert (row["status"], row["late_refunded_amount"]) == ("failed", 3_000)
    assert "50.00 USD more" in Payment.objects.get().attention_reason
    assert len(events_of(payment, "refund.late_success")) == 1


@pytest.mark.parametrize("declines_first", [True, False])
def test_a_failed_refund_succeeds_when_nothing_is_left_to_refund(
    client: SignedClient, declines_first: bool
) -> None:
    """The refund failed at once, or after it had succeeded."""
    payment = paid(client, "refund_declined" if declines_first else "")
    if declines_first:
        refunded = declined_refund(client, payment, 10_000)
        SimulatedPayment.objects.update(simulate="")
        Payment.objects.update(metadata={})
    else:
        refunded = data(refund(client, payment, 10_000))
        bank.return_refund(refunded["refund_no"])
        bank.deliver_webhooks(payment["payment_no"])
    data(refund(client, payment, 10_000))
    update = build_refund_update(refunded, RefundState.SUCCEEDED)
    for effect in ("applied", "nothing_new"):
        assert apply_refund_update(update=update, source=UpdateSource("simulator"), is_current=True) == effect
    assert get_payment(client, payment)["refunded_amount"] == 10_000
    row = get_refund(client, refunded)
    assert (row["status"], row["previous_status"], row["late_refunded_amount"]) == ("failed", "failed", 0)
    assert "100.00 USD more" in Payment.objects.get().attention_reason
    assert len(events_of(payment, "refund.late_success")) == 1
    assert has_listed_outcome(Refund.objects.get(refund_no=refunded["refund_no"]), update), "it is recorded"


def test_a_succeeded_refund_fails_and_can_be_repeated(client: SignedClient) -> None:
    payment = paid(client)
    refunded = data(refund(client, payment, 10_000))
    bank.return_refund(refunded["refund_no"])
    effects = bank.deliver_webhooks(payment["payment_no"])
    assert effects[-2:] == ["nothing_new", "applied"]
    assert bank.deliver_webhooks(payment["payment_no"])[-2:] == ["nothing_new", "nothing_new"]
    now = get_payment(client, payment)
    assert (now["refunded_amount"], now["refundable_amount"], now["refund_status"]) == (0, 10_000, "none")
    row = get_refund(client, refunded)
    assert (row["status"], row["previous_status"], row["failure_code"]) == (
        "failed",
        "succeeded",
        "refund_returned",
    )
    assert not Payment.objects.get().needs_attention, "the merchant can repeat it"
    assert len(events_of(payment, "refund.failed")) == 1
    again = data(refund(client, payment, 10_000))
    assert (again["status"], get_payment(client, payment)["refund_status"]) == ("succeeded", "full")


def test_the_channel_is_queried_after_a_changed_outcome(client: SignedClient) -> None:
    """Channel updates may arrive in the wrong order, so the answer to a query decides."""
    payment = paid(client)
    refunded = data(refund(client, payment, 10_000))
    update = build_refund_update(refunded, RefundState.FAILED)
    assert apply_refund_update(update=update, source=UpdateSource("simulator")) == "applied"
    for _ in range(2):
        assert Refund.objects.get().next_check_at is not None
        Refund.objects.update(next_check_at=Now())
        poll_due()
    assert Refund.objects.get().next_check_at is None
    assert get_refund(client, refunded)["status"] == "succeeded"
    assert get_payment(client, payment)["refunded_amount"] == 10_000


def test_an_automatic_refund_that_fails_later_needs_review(client: SignedClient) -> None:
    payment = opened(client)
    data(cancel(client, payment))
    bank.pay_closed_payment(payment)
    bank.deliver_webhooks(payment["payment_no"])
    background.finish()
    bank.return_refund(Refund.objects.get().refund_no)
    bank.deliver_webhooks(payment["payment_no"])
    assert "late payment could not be refunded" in Payment.objects.get().attention_reason
    with transaction.atomic():
        refund_late_payments(payment_no=payment["payment_no"], actor="ana", reason="the account was closed")
    background.finish()
    row = Payment.objects.get()
    assert (row.refunded_minor, row.needs_attention) == (10_000, False)


def test_the_database_refuses_to_change_a_settled_refund(client: SignedClient) -> None:
    data(refund(client, paid(client), 4_000))
    with pytest.raises(IntegrityError, match="cannot become"), transaction.atomic():
        Refund.objects.update(status="failed")
    with pytest.raises(IntegrityError, match="cannot become"), transaction.atomic():
        Refund.objects.update(status="pending", previous_status="succeeded", contradicted_at=Now())


def test_a_report_that_agrees_changes_nothing(client: SignedClient) -> None:
    refunded = data(refund(client, paid(client), 4_000))
    update = build_refund_update(refunded, RefundState.SUCCEEDED)
    assert apply_refund_update(update=update, source=UpdateSource("simulator")) == "nothing_new"
    assert not Payment.objects.get().needs_attention


def test_the_counter_of_late_payments_starts_at_zero(client: SignedClient) -> None:
    """An alert cannot see the first increase of a counter that did not exist before."""
    opened(client, currency="CHF")
    labels = {"outcome": "late_success", "channel": "simulator", "currency": "CHF", "environment": "test"}
    assert REGISTRY.get_sample_value("payments_total", labels) == 0
