"""Failover: a payment is tried at the next channel after a decline that allows it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections
from django.http import HttpResponse

from channels import guard, shared_breaker_state
from channels.base import UnknownOutcome
from gateway.flows.payment_create import PAYMENT_CREATE
from gateway.models import Payment, PaymentAttempt, RoutingRule
from gateway.services.channel_updates.payments import apply_payment_update
from gateway.update_source import UpdateSource
from sagas import registry as sagas_registry
from sagas.models import SagaInstance, SagaStep
from tests.support import background, bank
from tests.support.auditing import _audited  # noqa: F401
from tests.support.channels import AdditionalChannel, Killed, add_channel
from tests.support.shop import (
    PAYMENTS,
    Body,
    cancel,
    capture,
    data,
    error,
    get_order,
    get_payment,
    new_no,
    payment_request,
    refund,
    sync,
)
from tests.support.signing import SignedClient
from tests.support.statements import cost

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

FAILS_OVER = "decline_elsewhere"


@pytest.fixture(autouse=True)
def banks(monkeypatch: pytest.MonkeyPatch, transactional_db: None) -> dict[str, AdditionalChannel]:
    """Three channels, tried in this order."""
    names = ("north", "south", "west")
    for priority, name in enumerate(reversed(names)):
        RoutingRule.objects.create(environment="test", channel=name, priority=priority)
    return {name: add_channel(monkeypatch, name) for name in names}


def create(client: SignedClient, key: str | None = None, **scripts: str) -> HttpResponse:
    changes: Body = {"channel": ..., "metadata": scripts}
    if capture_method := scripts.pop("capture_method", ""):
        changes["capture_method"] = capture_method
    return client.post(PAYMENTS, payment_request(**changes), idempotency_key=key)


def tried(client: SignedClient, payment: Body) -> list[tuple[str, str, str | None]]:
    attempts = get_payment(client, payment)["attempts"]
    assert [attempt["number"] for attempt in attempts] == list(range(1, len(attempts) + 1))
    return [(attempt["channel"], attempt["status"], attempt["failure_code"]) for attempt in attempts]


def test_the_first_channel_that_accepts_keeps_the_payment(client: SignedClient) -> None:
    payment = data(create(client))
    assert (payment["channel"], payment["status"]) == ("north", "pending")
    assert tried(client, payment) == [("north", "open", None)]


def test_a_decline_that_allows_failover_tries_the_next_channel(client: SignedClient) -> None:
    payment = data(create(client, north=FAILS_OVER, south="auto_pay"))
    assert (payment["channel"], payment["status"]) == ("south", "succeeded")
    assert tried(client, payment) == [
        ("north", "declined", "acquirer_unavailable"),
        ("south", "succeeded", None),
    ]
    row = Payment.objects.get()
    first, second = PaymentAttempt.objects.order_by("number")
    assert (first.reference, second.reference) == (row.payment_no, f"{row.payment_no}-2")
    assert row.channel_trade_no == second.channel_trade_no
    assert bank.read_ledger(first.reference) == []
    assert bank.read_ledger(second.reference) == [("charge", 10_000)]


def test_a_decline_because_of_the_customer_is_final(client: SignedClient) -> None:
    refused = error(create(client, north="insufficient_funds"), 402, "payment_declined")
    assert tried(client, refused) == [("north", "declined", "insufficient_funds")]


def test_the_payment_fails_when_all_channels_decline(client: SignedClient) -> None:
    refused = error(
        create(client, north=FAILS_OVER, south=FAILS_OVER, west="decline"), 402, "payment_declined"
    )
    assert refused["failure_code"] == "card_declined"
    assert [status for _, status, _ in tried(client, refused)] == ["declined"] * 3
    assert get_order(client, refused["order_no"])["status"] == "cancelled"
    again = error(
        create(client, north=FAILS_OVER, south=FAILS_OVER, west=FAILS_OVER), 402, "payment_declined"
    )
    assert again["failure_code"] == "acquirer_unavailable"


def test_a_named_channel_has_no_fallback(client: SignedClient) -> None:
    wanted = payment_request(channel="north", metadata={"north": FAILS_OVER})
    refused = error(client.post(PAYMENTS, wanted), 402, "payment_declined")
    assert len(tried(client, refused)) == 1


@pytest.mark.parametrize(
    ("scripts", "calls"),
    [({}, 1), ({"north": FAILS_OVER}, 2), ({"north": FAILS_OVER, "south": FAILS_OVER}, 3)],
)
def test_n_calls_cost_n_plus_one_commits(client: SignedClient, scripts: dict[str, str], calls: int) -> None:
    data(create(client))  # warms up connections and imports
    with cost() as found:
        payment = data(create(client, new_no("key"), **scripts))
    assert found.commits == calls + 1, "\n".join(sql[:160] for sql in found.sql)
    assert len(tried(client, payment)) == calls


def test_each_intent_is_committed_before_its_call(
    client: SignedClient, banks: dict[str, AdditionalChannel]
) -> None:
    seen: list[tuple[str, list[tuple[str, str]]]] = []
    keys: set[str] = set()

    def from_outside() -> list[tuple[str, str]]:
        try:
            assert SagaStep.objects.get(step_name="CallPaymentChannel").in_doubt
            return list(PaymentAttempt.objects.order_by("number").values_list("channel", "status"))
        finally:
            connections.close_all()

    def look(name: str) -> Any:
        def before(operation: str, request: Any) -> None:
            if operation == "create_payment":
                keys.add(request.key)
                with ThreadPoolExecutor(1) as pool:
                    seen.append((name, pool.submit(from_outside).result()))

        return before

    for name, line in banks.items():
        line.before = look(name)
    data(create(client, north=FAILS_OVER, south=FAILS_OVER))
    assert seen == [
        ("north", [("north", "calling")]),
        ("south", [("north", "declined"), ("south", "calling")]),
        ("west", [("north", "declined"), ("south", "declined"), ("west", "calling")]),
    ]
    assert len(keys) == 3


@pytest.mark.parametrize("killed", ["before", "after"])
@pytest.mark.parametrize("at", ["north", "south"])
def test_a_crash_during_any_call_leaves_one_payment(
    client: SignedClient, banks: dict[str, AdditionalChannel], at: str, killed: str
) -> None:
    key = new_no("key")
    getattr(banks[at], f"kill_{killed}")("create_payment")
    with pytest.raises(Killed):
        create(client, key, north=FAILS_OVER, south="auto_pay")
    banks[at].mend()
    background.expire_all_leases()
    background.finish()
    payment = Payment.objects.get()
    body = {"payment_no": payment.payment_no}
    assert tried(client, body) == [
        ("north", "declined", "acquirer_unavailable"),
        ("south", "succeeded", None),
    ]
    assert bank.read_ledger(f"{payment.payment_no}-2") == [("charge", 10_000)]


def test_a_lost_answer_is_not_a_decline(client: SignedClient) -> None:
    """It is unknown whether the first channel has the payment: the second one must not get it too."""
    payment = data(create(client, north="timeout_after", south="auto_pay"), 202)
    background.finish()
    assert tried(client, payment) == [("north", "open", None)]


def test_a_lost_decline_is_repeated_and_fails_over(client: SignedClient) -> None:
    payment = data(create(client, north=f"{FAILS_OVER},timeout_after", south="auto_pay"), 202)
    background.finish()
    assert [channel for channel, _, _ in tried(client, payment)] == ["north", "south"]
    assert get_payment(client, payment)["status"] == "succeeded"


def test_an_unconfirmed_payment_at_the_second_channel_is_compensated_there(
    client: SignedClient, banks: dict[str, AdditionalChannel]
) -> None:
    banks["south"].after = lambda operation, answer: (
        UnknownOutcome("lost", is_channel_fault=False)
        if operation in ("create_payment", "find_payment")
        else answer
    )
    payment = data(create(client, north=FAILS_OVER), 202)
    background.finish()
    assert background.saga_of(payment["payment_no"], "payment.create").status == "compensated"
    assert tried(client, payment)[1][1] == "declined"
    assert get_payment(client, payment)["failure_code"] == "outcome_unknown"


def test_a_cancel_between_two_calls_stops_the_failover(
    client: SignedClient, banks: dict[str, AdditionalChannel]
) -> None:
    def cancel_now(operation: str, answer: Any) -> Any:
        if operation == "create_payment":
            with ThreadPoolExecutor(1) as pool:
                pool.submit(cancelling).result()
        return answer

    def cancelling() -> None:
        try:
            data(cancel(client, {"payment_no": Payment.objects.get().payment_no}), 202)
        finally:
            connections.close_all()

    banks["north"].after = cancel_now
    payment = data(create(client, north=FAILS_OVER, south="auto_pay"))
    assert payment["status"] == "cancelled"
    assert bank.read_ledger(f"{payment['payment_no']}-2") == []


@pytest.fixture
def one_fault_opens(
    banks: dict[str, AdditionalChannel], settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """A single call without an answer opens a breaker. At the end all channels are up again."""
    settings.CHANNEL_BREAKER_FAULTS = 1
    yield
    for line in banks.values():
        line.mend()
    monkeypatch.setattr(guard, "_guards", {})
    monkeypatch.setattr(shared_breaker_state, "PREFIX", new_no("breaker"))
    background.finish()


@pytest.mark.usefixtures("one_fault_opens")
def test_routing_skips_a_channel_that_is_down(
    client: SignedClient, banks: dict[str, AdditionalChannel]
) -> None:
    banks["north"].after = lambda operation, answer: UnknownOutcome("no answer")
    data(create(client), 202)  # opens the breaker
    payment = data(create(client))
    assert payment["channel"] == "south"
    banks["south"].after = lambda operation, answer: UnknownOutcome("no answer")
    data(create(client), 202)
    assert data(create(client, west=""))["channel"] == "west"


@pytest.mark.usefixtures("one_fault_opens")
def test_failover_skips_a_channel_that_is_down(
    client: SignedClient, banks: dict[str, AdditionalChannel]
) -> None:
    banks["south"].after = lambda operation, answer: UnknownOutcome("no answer")
    data(client.post(PAYMENTS, payment_request(channel="south")), 202)
    payment = data(create(client, north=FAILS_OVER))
    assert [channel for channel, _, _ in tried(client, payment)] == ["north", "west"]


def test_later_operations_use_the_channel_that_has_the_payment(client: SignedClient) -> None:
    held = data(create(client, north=FAILS_OVER, south="authorize", capture_method="manual"))
    assert data(capture(client, held, amount=6_000))["captured_amount"] == 6_000
    assert data(refund(client, held, 1_000))["status"] == "succeeded"
    assert data(sync(client, held))["refunded_amount"] == 1_000
    reference = f"{held['payment_no']}-2"
    assert bank.read_ledger(reference) == [
        ("authorize", 10_000),
        ("capture", 6_000),
        ("void", 4_000),
        ("refund", 1_000),
    ]
    waiting = data(create(client, north=FAILS_OVER))
    assert data(cancel(client, waiting))["status"] == "cancelled"


def test_the_webhook_of_the_second_channel_finds_the_payment(client: SignedClient) -> None:
    payment = data(create(client, north=FAILS_OVER))
    bank.pay(payment)
    update = bank.get_channel_payment(f"{payment['payment_no']}-2")
    assert apply_payment_update(update=update, source=UpdateSource("north")) == "unknown_reference"
    assert apply_payment_update(update=update, source=UpdateSource("south")) == "applied"
    assert get_payment(client, payment)["status"] == "succeeded"


def test_a_payment_with_a_lost_answer_is_completed_synced_and_cancelled(client: SignedClient) -> None:
    key = new_no("key")
    payment = data(create(client, key, north="timeout_before*2"), 202)
    saga = SagaInstance.objects.get(business_id=payment["payment_no"])
    assert saga.definition_version == PAYMENT_CREATE.version
    assert sagas_registry.find_definition(saga.definition, saga.definition_version) is PAYMENT_CREATE
    background.finish()
    assert SagaInstance.objects.get(id=saga.id).status == "completed"
    assert data(sync(client, payment))["status"] == "pending"
    assert data(cancel(client, payment))["status"] == "cancelled"
