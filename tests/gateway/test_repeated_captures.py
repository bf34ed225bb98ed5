"""Captures in part, which leave the rest authorized, and the events between them (ADR 35)."""

from dataclasses import replace
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from channels.base import PaymentState, Reported
from channels.simulator.models import LedgerEntry, SimulatedPayment
from common.db import violates
from common.errors import NotPermitted
from gateway.models import Capture, Payment
from sagas import operations
from tests.support import background, bank
from tests.support.auditing import _audited  # noqa: F401
from tests.support.channels import AdditionalChannel, add_channel, intercept_simulator
from tests.support.polling import poll_due
from tests.support.shop import (
    Body,
    authorized,
    cancel,
    capture,
    create,
    data,
    error,
    get_payment,
    new_no,
    refund,
)
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


def capture_part(client: SignedClient, payment: Body, amount: int, **more: Any) -> Body:
    body: Body = data(capture(client, payment, amount=amount, final_capture=False, **more))
    return body


def captured_of(payment: Body) -> tuple[str, int, int]:
    return payment["status"], payment["captured_amount"], payment["capturable_amount"]


def captures_of(client: SignedClient, payment: Body) -> list[tuple[int, int, bool, str]]:
    return [
        (each["number"], each["amount"], each["final_capture"], each["status"])
        for each in get_payment(client, payment)["captures"]
    ]


def test_the_last_capture_releases_the_rest(client: SignedClient) -> None:
    payment = authorized(client)
    assert captured_of(capture_part(client, payment, 3_000)) == ("authorized", 3_000, 7_000)
    assert captured_of(capture_part(client, payment, 2_000)) == ("authorized", 5_000, 5_000)
    assert captured_of(data(capture(client, payment, amount=4_000))) == ("succeeded", 9_000, 0)
    bank.deliver_webhooks(payment["payment_no"])
    assert bank.read_ledger(payment["payment_no"]) == [
        ("authorize", 10_000),
        ("capture", 3_000),
        ("capture", 2_000),
        ("capture", 4_000),
        ("void", 1_000),
    ]
    assert captures_of(client, payment) == [
        (1, 3_000, False, "succeeded"),
        (2, 2_000, False, "succeeded"),
        (3, 4_000, True, "succeeded"),
    ]
    error(capture(client, payment, amount=1), 409, "payment_not_capturable")


def test_a_capture_of_all_that_is_left_is_final(client: SignedClient) -> None:
    payment = authorized(client)
    capture_part(client, payment, 3_000)
    assert captured_of(capture_part(client, payment, 7_000)) == ("succeeded", 10_000, 0)


def test_a_capture_without_an_amount_takes_the_rest(client: SignedClient) -> None:
    payment = authorized(client)
    capture_part(client, payment, 3_000)
    assert captured_of(data(capture(client, payment))) == ("succeeded", 10_000, 0)


def test_a_capture_above_the_capturable_amount_is_refused(client: SignedClient) -> None:
    payment = authorized(client)
    capture_part(client, payment, 3_000)
    details = error(capture(client, payment, amount=7_001), 422, "capture_exceeds_payment")
    assert details["capturable_amount"] == 7_000
    assert captures_of(client, payment) == [(1, 3_000, False, "succeeded")]


@pytest.mark.parametrize("value", ["true", 1, None])
def test_final_capture_is_true_or_false(client: SignedClient, value: object) -> None:
    details = error(capture(client, authorized(client), final_capture=value), 400, "validation_failed")
    assert "final_capture" in details


def test_a_channel_without_repeated_captures_refuses_before_a_row_is_written(
    client: SignedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_channel(monkeypatch, "once", AdditionalChannel("once"))
    answer = create(client, channel="once", capture_method="manual", metadata={"once": "authorize"})
    payment = data(answer)
    refused = capture(client, payment, amount=1, final_capture=False)
    error(refused, 422, "repeated_capture_not_supported")
    assert captures_of(client, payment) == []
    assert captured_of(data(capture(client, payment, amount=1))) == ("succeeded", 1, 0)


def test_a_repeated_request_captures_once(client: SignedClient) -> None:
    payment, key = authorized(client), new_no("key")
    first = capture_part(client, payment, 3_000, key=key)
    assert capture_part(client, payment, 3_000, key=key) == first
    assert captures_of(client, payment) == [(1, 3_000, False, "succeeded")]


@pytest.mark.parametrize(
    "fault", ["timeout_after", "timeout_before", "error_5xx", "reset_after", "error_5xx_kept"]
)
def test_a_lost_capture_is_made_once(client: SignedClient, fault: str) -> None:
    payment, key = authorized(client, f"no_webhook,capture:{fault}"), new_no("key")
    data(capture(client, payment, amount=3_000, final_capture=False, key=key), 202)
    error(capture(client, payment, amount=1, final_capture=False), 409, "operation_in_progress")
    background.finish()
    assert captured_of(capture_part(client, payment, 3_000, key=key)) == ("authorized", 3_000, 7_000)
    capture_part(client, payment, 3_000)
    captured = [amount for kind, amount in bank.read_ledger(payment["payment_no"]) if kind == "capture"]
    assert captured == [3_000, 3_000]


def test_a_late_call_of_a_lost_capture_captures_nothing_more(
    client: SignedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call arrives at the bank after the query has found nothing: its repetition has the same key."""
    simulator = intercept_simulator(monkeypatch)
    payment = authorized(client, "no_webhook,capture:timeout_before")
    late: list[Any] = []
    simulator.before = lambda operation, request: (
        late.append(request) if operation == "capture_payment" else None
    )
    data(capture(client, payment, amount=3_000, final_capture=False), 202)
    background.finish()
    assert len({request.key for request in late}) == 1
    simulator._simulator.capture_payment(late[0])
    assert get_payment(client, payment)["captured_amount"] == 3_000
    captured = [amount for kind, amount in bank.read_ledger(payment["payment_no"]) if kind == "capture"]
    assert captured == [3_000]


def test_a_declined_capture_keeps_earlier_captures(client: SignedClient) -> None:
    """Meanwhile the bank has released the rest."""
    payment = authorized(client, "no_webhook")
    capture_part(client, payment, 3_000)
    end_authorization(payment)
    error(capture(client, payment, amount=1_000, final_capture=False), 402, "capture_declined")
    background.make_checks_due()
    poll_due()
    assert captured_of(get_payment(client, payment)) == ("succeeded", 3_000, 0)
    assert captures_of(client, payment)[1] == (2, 1_000, False, "failed")


def end_authorization(payment: Body) -> None:
    """The authorization lapses at the bank."""
    SimulatedPayment.objects.filter(reference=payment["payment_no"]).update(settles_at=Now())
    bank.settle_due_payments()


def test_a_lapsed_authorization_keeps_its_captures(client: SignedClient) -> None:
    payment = authorized(client, "authorization_lapses:600")
    capture_part(client, payment, 3_000)
    end_authorization(payment)
    bank.deliver_webhooks(payment["payment_no"])
    assert captured_of(get_payment(client, payment)) == ("succeeded", 3_000, 0)
    assert bank.read_ledger(payment["payment_no"])[-1] == ("void", 7_000)


def test_a_capture_after_the_authorization_lapsed_is_declined(client: SignedClient) -> None:
    payment = authorized(client, "no_webhook")
    end_authorization(payment)
    error(capture(client, payment, amount=1_000, final_capture=False), 402, "capture_declined")
    background.make_checks_due()
    poll_due()
    assert captured_of(get_payment(client, payment)) == ("cancelled", 0, 0)


def test_a_cancellation_releases_the_rest(client: SignedClient) -> None:
    payment, key = authorized(client), new_no("key")
    capture_part(client, payment, 3_000)
    released = data(cancel(client, payment, key=key))
    assert captured_of(released) == ("succeeded", 3_000, 0)
    assert data(cancel(client, payment, key=key)) == released
    bank.deliver_webhooks(payment["payment_no"])
    assert bank.read_ledger(payment["payment_no"])[-1] == ("void", 7_000)
    error(cancel(client, payment), 409, "payment_not_cancellable")


def test_a_lost_cancellation_releases_the_rest_once(client: SignedClient) -> None:
    payment, key = authorized(client, "no_webhook,cancel:timeout_after"), new_no("key")
    capture_part(client, payment, 3_000)
    data(cancel(client, payment, key=key), 202)
    error(capture(client, payment, amount=1), 409, "operation_in_progress")
    background.finish()
    assert captured_of(data(cancel(client, payment, key=key))) == ("succeeded", 3_000, 0)


def test_captured_money_can_be_refunded_before_the_last_capture(client: SignedClient) -> None:
    payment = authorized(client)
    error(refund(client, payment, 1), 409, "payment_not_refundable")
    capture_part(client, payment, 3_000)
    details = error(refund(client, payment, 3_001), 422, "refund_exceeds_payment")
    assert details["refundable_amount"] == 3_000
    data(refund(client, payment, 3_000))
    assert captured_of(data(capture(client, payment, amount=2_000))) == ("succeeded", 5_000, 0)
    assert get_payment(client, payment)["refundable_amount"] == 2_000


def test_webhooks_in_any_order(client: SignedClient) -> None:
    """The webhook of the second capture comes before that of the first, and before its own answer."""
    payment = authorized(client)
    capture_part(client, payment, 3_000)
    capture_part(client, payment, 2_000)
    first, second = bank.list_webhooks(payment["payment_no"])[-2:]
    for webhook in (second, first, second):
        bank.send_webhook(webhook)
    assert captured_of(get_payment(client, payment)) == ("authorized", 5_000, 5_000)
    assert len(captures_of(client, payment)) == 2


def test_a_webhook_before_the_answer_settles_the_capture(client: SignedClient) -> None:
    payment, key = (
        authorized(client, "capture:timeout_after*always,query:timeout_before*always"),
        new_no("key"),
    )
    data(capture(client, payment, amount=3_000, final_capture=False, key=key), 202)
    bank.deliver_webhooks(payment["payment_no"])
    assert captured_of(get_payment(client, payment)) == ("authorized", 3_000, 7_000)
    assert captures_of(client, payment) == [(1, 3_000, False, "succeeded")]
    SimulatedPayment.objects.filter(reference=payment["payment_no"]).update(simulate="")
    background.finish()
    assert captured_of(capture_part(client, payment, 3_000, key=key)) == ("authorized", 3_000, 7_000)


def test_an_update_ends_a_capture_that_is_in_review(client: SignedClient) -> None:
    """While it is in review, no second capture and no cancellation can begin."""
    payment = authorized(client, "capture:timeout_after*always,query:timeout_before*always")
    data(capture(client, payment, amount=3_000, final_capture=False), 202)
    background.finish()
    assert background.saga_of(payment["payment_no"], "payment.capture").needs_attention
    SimulatedPayment.objects.filter(reference=payment["payment_no"]).update(simulate="")
    bank.deliver_webhooks(payment["payment_no"])
    background.finish()
    saga = background.saga_of(payment["payment_no"], "payment.capture")
    assert (saga.status, saga.needs_attention) == ("completed", False)
    assert captured_of(capture_part(client, payment, 2_000)) == ("authorized", 5_000, 5_000)


def test_a_capture_that_the_channel_decides_later_is_not_reported_as_failed(
    client: SignedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The channel accepts the capture and reports it as pending for days, as PayPal does."""
    simulator = intercept_simulator(monkeypatch)
    payment, key = authorized(client), new_no("key")

    def delay(operation: str, result: Any) -> Any:
        if operation in ("capture_payment", "find_payment") and isinstance(result, Reported):
            pending = replace(result.value, state=PaymentState.PROCESSING, captured_minor=0)
            return Reported(pending)
        return result

    simulator.after = delay
    data(capture(client, payment, key=key), 202)
    background.finish()
    assert background.saga_of(payment["payment_no"], "payment.capture").needs_attention
    data(capture(client, payment, key=key), 202)
    simulator.mend()
    bank.deliver_webhooks(payment["payment_no"])
    background.finish()
    assert data(capture(client, payment, key=key))["status"] == "succeeded"


def test_a_capture_in_the_dashboard_is_recorded(client: SignedClient) -> None:
    payment = authorized(client)
    capture_part(client, payment, 3_000)
    capture_at_bank(payment, 1_000, is_final=False)
    bank.deliver_webhooks(payment["payment_no"])
    shown = get_payment(client, payment)
    assert captured_of(shown) == ("authorized", 4_000, 6_000)
    assert [each["made_at_channel"] for each in shown["captures"]] == [False, True]
    capture_at_bank(payment, 2_000, is_final=True)
    bank.deliver_webhooks(payment["payment_no"])
    assert captured_of(get_payment(client, payment)) == ("succeeded", 6_000, 0)


def capture_at_bank(payment: Body, amount: int, *, is_final: bool) -> None:
    from channels.simulator import ledger
    from channels.simulator.bank import lock_existing_payment
    from channels.simulator.router import ALIAS

    with transaction.atomic(using=ALIAS):
        found = lock_existing_payment(payment["payment_no"])
        ledger.capture_payment(found, amount, key=new_no("dashboard"), is_final=is_final)


def test_a_channel_that_takes_a_capture_back_needs_review(client: SignedClient) -> None:
    payment = authorized(client, "no_webhook")
    capture_part(client, payment, 3_000)
    lie = bank.build_webhook(payment, state=PaymentState.CANCELLED.value, captured_minor=0)
    assert bank.read_effect(bank.send_webhook(lie)) == "parked"
    assert get_payment(client, payment)["status"] == "authorized"
    assert Payment.objects.get().needs_attention


def test_more_money_for_a_payment_that_has_succeeded_needs_review(client: SignedClient) -> None:
    """Staff capture in the channel's dashboard after the capture that counted as the last one."""
    payment = authorized(client, "no_webhook")
    assert data(capture(client, payment, amount=4_000))["status"] == "succeeded"
    same, more = (
        bank.build_webhook(payment, state=PaymentState.PAID.value, captured_minor=total)
        for total in (4_000, 9_000)
    )
    assert bank.read_effect(bank.send_webhook(same)) == "nothing_new"
    assert bank.read_effect(bank.send_webhook(more)) == "parked"
    assert "90.00 USD captured, and we know of 40.00 USD" in Payment.objects.get().attention_reason


@pytest.mark.parametrize("resolution", ["watch", "paid", "unpaid"])
def test_a_capture_that_is_resolved_by_hand(client: SignedClient, resolution: str) -> None:
    payment, key = authorized(client, "no_webhook"), new_no("key")
    capture_part(client, payment, 3_000)
    script = "no_webhook,capture:timeout_after*always,query:timeout_before*always"
    SimulatedPayment.objects.filter(reference=payment["payment_no"]).update(simulate=script)
    data(capture(client, payment, amount=2_000, final_capture=False, key=key), 202)
    background.finish()
    saga = background.saga_of(payment["payment_no"], "payment.capture")
    assert saga.needs_attention
    SimulatedPayment.objects.filter(reference=payment["payment_no"]).update(simulate="no_webhook")
    close = lambda name: operations.resolve_saga(  # noqa: E731
        saga_id=saga.id,
        seen_revision=saga.revision,
        actor="ana",
        reason="seen in the dashboard",
        resolution=name,
    )
    if resolution == "unpaid":
        with pytest.raises(NotPermitted):
            close("unpaid")
        close("watch")
    else:
        close(resolution)
    background.make_checks_due()
    poll_due()
    assert captured_of(get_payment(client, payment)) == ("authorized", 5_000, 5_000)
    if resolution == "paid":
        data(capture(client, payment, amount=2_000, final_capture=False, key=key))
    else:
        error(capture(client, payment, amount=2_000, final_capture=False, key=key), 402, "capture_declined")
    assert captured_of(data(capture(client, payment))) == ("succeeded", 10_000, 0)


def test_the_database_refuses_a_second_capture_in_flight(client: SignedClient) -> None:
    authorized(client)
    payment = Payment.objects.get()
    values = {"payment": payment, "amount_minor": 1, "is_final": False}
    with pytest.raises(IntegrityError) as refused, transaction.atomic():
        Capture.objects.create(number=1, **values)
        Capture.objects.create(number=2, **values)
    assert violates(refused.value, "capture_one_in_flight")


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"captured_minor": 10_001}, "payment_money_adds_up"),
        ({"captured_minor": 2_999}, "payment_captured_kept"),
        ({"status": "cancelled"}, "payment_captured_kept"),
        ({"refunded_minor": 3_001}, "payment_money_adds_up"),
    ],
)
def test_the_database_refuses_to_change_captures(
    client: SignedClient, changes: dict[str, Any], constraint: str
) -> None:
    capture_part(client, authorized(client), 3_000)
    with pytest.raises(IntegrityError) as refused, transaction.atomic():
        Payment.objects.update(**changes)
    assert violates(refused.value, constraint)


def test_the_ledger_captures_no_more_than_is_held(client: SignedClient) -> None:
    payment = authorized(client)
    capture_part(client, payment, 3_000)
    entry = LedgerEntry(
        reference=payment["payment_no"], kind="capture", amount=7_001, currency="USD", key="forged"
    )
    with pytest.raises(IntegrityError) as refused:
        entry.save()
    assert violates(refused.value, "simulator_ledger_held")
