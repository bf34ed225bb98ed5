"""Authorization increments: accepted, declined, with a lost answer, and refused before the call (ADR 35)."""

from typing import Any

import pytest

from channels.simulator.models import SimulatedPayment
from gateway.models import AuthorizationIncrement, Payment
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
    increment,
    new_no,
    opened,
    refund,
)
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

FAULTS = ["timeout_after", "timeout_before", "error_5xx", "reset_after", "error_5xx_kept"]


def increments_of(client: SignedClient, payment: Body) -> list[tuple[int, int, str]]:
    return [
        (each["previous_amount"], each["amount"], each["status"])
        for each in get_payment(client, payment)["authorization_increments"]
    ]


def test_more_is_authorized_and_captured(client: SignedClient) -> None:
    payment = authorized(client)
    assert (payment["authorized_amount"], payment["capturable_amount"]) == (10_000, 10_000)
    more = data(increment(client, payment, 12_000))
    assert (more["amount"], more["authorized_amount"], more["capturable_amount"]) == (10_000, 12_000, 12_000)
    data(increment(client, payment, 15_000))
    bank.deliver_webhooks(payment["payment_no"])
    assert increments_of(client, payment) == [(10_000, 12_000, "succeeded"), (12_000, 15_000, "succeeded")]
    done = data(capture(client, payment, amount=14_000))
    assert (done["status"], done["captured_amount"], done["authorized_amount"]) == (
        "succeeded",
        14_000,
        15_000,
    )
    data(refund(client, payment, 14_000))
    assert bank.read_ledger(payment["payment_no"]) == [
        ("authorize", 10_000),
        ("authorize", 2_000),
        ("authorize", 3_000),
        ("capture", 14_000),
        ("void", 1_000),
        ("refund", 14_000),
    ]


def test_a_cancellation_releases_all(client: SignedClient) -> None:
    payment = authorized(client)
    data(increment(client, payment, 12_000))
    assert data(cancel(client, payment))["status"] == "cancelled"
    assert bank.read_ledger(payment["payment_no"])[-1] == ("void", 12_000)


def test_a_declined_increment_leaves_the_authorization(client: SignedClient) -> None:
    payment, key = authorized(client, "increment_declined"), new_no("key")
    for _repeated in range(2):
        details = error(increment(client, payment, 12_000, key=key), 402, "increment_declined")
        assert (details["authorized_amount"], details["failure_code"]) == (10_000, "card_declined")
    assert increments_of(client, payment) == [(10_000, 12_000, "failed")]
    assert data(capture(client, payment))["captured_amount"] == 10_000


@pytest.mark.parametrize("fault", FAULTS)
def test_a_lost_increment_is_made_once(client: SignedClient, fault: str) -> None:
    payment, key = authorized(client, f"no_webhook,increment:{fault}"), new_no("key")
    data(increment(client, payment, 12_000, key=key), 202)
    error(capture(client, payment), 409, "operation_in_progress")
    error(increment(client, payment, 13_000), 409, "operation_in_progress")
    background.finish()
    assert data(increment(client, payment, 12_000, key=key))["authorized_amount"] == 12_000
    assert bank.read_ledger(payment["payment_no"]) == [("authorize", 10_000), ("authorize", 2_000)]


def test_an_update_ends_an_increment_that_is_in_review(client: SignedClient) -> None:
    script = "increment:timeout_after*always,query:timeout_before*always"
    payment = authorized(client, script)
    data(increment(client, payment, 12_000), 202)
    background.finish()
    definition = "payment.increment_authorization"
    assert background.saga_of(payment["payment_no"], definition).needs_attention
    SimulatedPayment.objects.filter(reference=payment["payment_no"]).update(simulate="")
    bank.deliver_webhooks(payment["payment_no"])
    background.finish()
    assert background.saga_of(payment["payment_no"], definition).status == "completed"
    assert data(capture(client, payment))["captured_amount"] == 12_000


def test_a_lost_increment_is_repeated_with_its_key(
    client: SignedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = intercept_simulator(monkeypatch)
    payment, keys = authorized(client, "no_webhook,increment:timeout_before"), set()

    def look(operation: str, request: Any) -> None:
        if operation == "increment_authorization":
            keys.add(request.key)

    simulator.before = look
    data(increment(client, payment, 12_000), 202)
    background.finish()
    assert len(keys) == 1


@pytest.mark.parametrize(
    ("amount", "status", "code"),
    [
        (10_000, 422, "increment_too_small"),
        (9_999, 422, "increment_too_small"),
        (0, 400, "validation_failed"),
    ],
)
def test_the_new_total_must_be_larger(client: SignedClient, amount: int, status: int, code: str) -> None:
    error(increment(client, authorized(client), amount), status, code)


def test_only_an_authorization_without_captures_is_incremented(client: SignedClient) -> None:
    error(increment(client, opened(client), 12_000), 409, "payment_not_incrementable")
    payment = authorized(client)
    data(capture(client, payment, amount=1, final_capture=False))
    error(increment(client, payment, 12_000), 409, "payment_not_incrementable")


def test_a_channel_without_increments_refuses_before_a_row_is_written(
    client: SignedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_channel(monkeypatch, "once", AdditionalChannel("once"))
    answer = create(client, channel="once", capture_method="manual", metadata={"once": "authorize"})
    payment = data(answer)
    error(increment(client, payment, 12_000), 422, "increment_not_supported")
    assert increments_of(client, payment) == []


def test_ten_increments_at_most(client: SignedClient) -> None:
    payment = authorized(client)
    rows = [
        AuthorizationIncrement(
            payment=Payment.objects.get(),
            number=number,
            reference=payment["payment_no"],
            previous_minor=10_000,
            amount_minor=11_000,
            status="failed",
        )
        for number in range(1, 11)
    ]
    AuthorizationIncrement.objects.bulk_create(rows)
    details = error(increment(client, payment, 12_000), 422, "increment_not_supported")
    assert details["max_increments"] == 10


def test_an_increment_that_was_resolved_by_hand_is_recorded_when_reported(client: SignedClient) -> None:
    script = "no_webhook,increment:timeout_after*always,query:timeout_before*always"
    payment, key = authorized(client, "no_webhook"), new_no("key")
    SimulatedPayment.objects.filter(reference=payment["payment_no"]).update(simulate=script)
    data(increment(client, payment, 12_000, key=key), 202)
    background.finish()
    saga = background.saga_of(payment["payment_no"], "payment.increment_authorization")
    assert saga.needs_attention
    operations.resolve_saga(
        saga_id=saga.id, seen_revision=saga.revision, actor="ana", reason="no answer", resolution="watch"
    )
    error(increment(client, payment, 12_000, key=key), 402, "increment_declined")
    SimulatedPayment.objects.filter(reference=payment["payment_no"]).update(simulate="no_webhook")
    background.make_checks_due()
    poll_due()
    assert get_payment(client, payment)["authorized_amount"] == 12_000
    assert increments_of(client, payment) == [(10_000, 12_000, "succeeded")]
    assert data(capture(client, payment))["captured_amount"] == 12_000


def test_a_further_attempt_begins_with_the_amount_of_the_payment(client: SignedClient) -> None:
    payment = authorized(client, order_no="again")
    data(increment(client, payment, 12_000))
    data(cancel(client, payment))
    again = authorized(client, order_no="again")
    assert (again["payment_no"], again["authorized_amount"]) == (payment["payment_no"], 10_000)
    assert data(capture(client, payment))["captured_amount"] == 10_000


def test_webhooks_of_an_older_total_change_nothing(client: SignedClient) -> None:
    payment = authorized(client)
    older = bank.list_webhooks(payment["payment_no"])
    data(increment(client, payment, 12_000))
    for webhook in [*bank.list_webhooks(payment["payment_no"]), *older]:
        bank.send_webhook(webhook)
    shown = get_payment(client, payment)
    assert (shown["status"], shown["authorized_amount"]) == ("authorized", 12_000)
    assert not Payment.objects.get().needs_attention
