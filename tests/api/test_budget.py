"""The statements and commits of requests; no database connection is held while a channel is called."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone

from channels.base import ListingWindow
from channels.registry import get_channel
from gateway.models import Payment
from tests.support import background
from tests.support.channels import InterceptedSimulator, intercept_simulator
from tests.support.connections import require_no_connection
from tests.support.polling import poll_due
from tests.support.shop import (
    PAYMENTS,
    authorized,
    cancel,
    capture,
    create,
    data,
    error,
    new_no,
    opened,
    paid,
    payment_request,
    refund,
    sync,
)
from tests.support.signing import SignedClient
from tests.support.statements import Cost, cost

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> InterceptedSimulator:
    return intercept_simulator(monkeypatch)


@pytest.fixture(autouse=True)
def _warm(client: SignedClient) -> None:
    """Makes one request, which opens connections, fills caches and loads modules."""
    data(create(client, key=new_no("key")))


def _explain(found: Cost) -> str:
    return "\n".join(sql[:160] for sql in found.sql)


@pytest.mark.parametrize(("simulate", "status"), [("", 200), ("auto_pay", 200), ("decline", 402)])
def test_a_payment_costs_two_commits(client: SignedClient, simulate: str, status: int) -> None:
    with cost() as found:
        answer = create(client, simulate, key=new_no("key"))
    assert answer.status_code == status
    assert found.commits == 2, _explain(found)
    if not simulate:
        assert len(found.statements) <= 8, _explain(found)


def test_a_cached_replay_costs_only_the_query_of_the_api_key(client: SignedClient) -> None:
    wanted, key = payment_request(), new_no("key")
    data(client.post(PAYMENTS, wanted, idempotency_key=key))
    with cost() as found:
        answer = client.post(PAYMENTS, wanted, idempotency_key=key)
    assert answer["Idempotent-Replayed"] == "true"
    assert found.on_business_tables() == [], _explain(found)
    assert len(found.statements) == 1, _explain(found)
    assert found.commits == 0


def test_a_saga_of_one_call_costs_two_commits(client: SignedClient) -> None:
    waiting, held, given = opened(client), authorized(client), paid(client)
    for call in (
        lambda: refund(client, given, 1, key=new_no("key")),
        lambda: cancel(client, waiting, key=new_no("key")),
        lambda: capture(client, held, key=new_no("key")),
    ):
        with cost() as found:
            data(call())
        assert found.commits == 2, _explain(found)


def test_a_refusal_costs_one_commit(client: SignedClient) -> None:
    given = paid(client)
    with cost() as found:
        error(refund(client, given, 10_001, key=new_no("key")), 422, "refund_exceeds_payment")
    assert found.commits == 1, _explain(found)


def test_lists_cost_the_same_for_many_as_for_one(client: SignedClient) -> None:
    given = paid(client)
    for _ in range(3):
        opened(client)
        data(refund(client, given, 1))
    for path in ("payments", "orders", "refunds"):
        costs = []
        for limit in (1, 3):
            with cost() as found:
                data(client.get(f"/api/v1/{path}?limit={limit}"))
            costs.append(len(found.on_business_tables()))
        assert costs[0] == costs[1] <= 2, path


def test_no_connection_is_held_while_the_channel_is_called(
    client: SignedClient, line: InterceptedSimulator
) -> None:
    called: list[str] = []

    def look(operation: str, _request: object) -> None:
        require_no_connection()
        called.append(operation)

    line.before = look
    payment = paid(client)
    data(refund(client, payment, 1, key=new_no("key")))
    data(capture(client, authorized(client)))
    data(cancel(client, opened(client)))
    data(sync(client, payment))
    data(create(client, "timeout_after_charge"), 202)
    data(refund(client, paid(client, "refund_pending:0"), 1))
    data(create(client, "timeout_after*always,query:reset*always"), 202)
    background.finish()
    background.make_checks_due()

    poll_due()
    assert set(called) == {
        "create_payment",
        "refund_payment",
        "capture_payment",
        "cancel_payment",
        "find_payment",
        "find_refund",
        "find_refunds",
    }


def test_no_connection_is_held_while_a_list_is_read(client: SignedClient, line: InterceptedSimulator) -> None:
    def check_each(_operation: str, entries: Iterator[Any]) -> Iterator[Any]:
        for entry in entries:
            require_no_connection()
            yield entry

    data(refund(client, paid(client), 1))
    line.after = check_each
    channel, now = get_channel("simulator", "test").channel, timezone.now()
    hour = dt.timedelta(hours=1)
    window = ListingWindow(channel.account, now - hour, now + hour, timeout_seconds=10)
    for entries in (channel.list_payments(window), channel.list_refunds(window)):
        assert [Payment.objects.exists() for _entry in entries]


def test_the_intent_is_committed_before_the_call(client: SignedClient, line: InterceptedSimulator) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from django.db import connections

    from sagas.models import SagaStep

    seen: list[tuple[str, bool]] = []

    def look_from_outside(payment_no: str) -> tuple[str, bool]:
        try:
            status = Payment.objects.get(payment_no=payment_no).status
            return status, SagaStep.objects.get(
                saga__business_id=payment_no, step_name="CallPaymentChannel"
            ).in_doubt
        finally:
            connections.close_all()

    def look(operation: str, request: Any) -> None:
        if operation == "create_payment":
            with ThreadPoolExecutor(1) as pool:
                seen.append(pool.submit(look_from_outside, request.reference).result())

    line.before = look
    opened(client)
    assert seen == [("pending", True)]
