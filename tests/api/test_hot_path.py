"""The cost of the most frequent requests, in counts (docs/PERFORMANCE.md). Benchmarks measure times."""

from collections.abc import Callable
from dataclasses import asdict

import pytest
from django.test import Client

from tests.support import bank
from tests.support.shop import PAYMENTS, create, data, new_no, opened, paid, payment_request, refund
from tests.support.signing import SignedClient
from tests.support.work import Prepare, Work, measure_work

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

# Function calls may differ by 10 % and include those of the test's client; the other counts are exact. If a change
# needs less, lower the budget.
CREATION = Work(statements=4, commits=2, database_round_trips=6, redis_round_trips=2, function_calls=7_480)
REPLAY = Work(statements=1, commits=0, database_round_trips=1, redis_round_trips=1, function_calls=2_450)
REFUND = Work(statements=12, commits=2, database_round_trips=16, redis_round_trips=2, function_calls=16_340)
WEBHOOK = Work(statements=5, commits=1, database_round_trips=7, redis_round_trips=0, function_calls=3_240)
FUNCTION_CALL_TOLERANCE = 0.1


def test_creation(client: SignedClient) -> None:
    require_budget(CREATION, lambda: lambda: data(create(client, key=new_no("key"))))


def test_replay(client: SignedClient) -> None:
    wanted, key = payment_request(), new_no("key")

    def send() -> None:
        assert data(client.post(PAYMENTS, wanted, idempotency_key=key)) == first

    first = data(client.post(PAYMENTS, wanted, idempotency_key=key))
    require_budget(REPLAY, lambda: send)


def test_refund(client: SignedClient) -> None:
    payment = paid(client)
    require_budget(REFUND, lambda: lambda: data(refund(client, payment, 1, key=new_no("key"))))


def test_webhook_in(client: SignedClient) -> None:
    channel = Client()

    def prepare() -> Callable[[], object]:
        payment = opened(client)
        webhook = bank.build_webhook(payment, state="paid", captured_minor=payment["amount"])
        return lambda: bank.read_effect(bank.send_webhook(webhook, client=channel))

    require_budget(WEBHOOK, prepare)


def require_budget(budget: Work, prepare: Prepare) -> None:
    found = asdict(measure_work(prepare))
    expected = asdict(budget)
    calls, expected_calls = found.pop("function_calls"), expected.pop("function_calls")
    assert (found, calls) == (
        expected,
        pytest.approx(expected_calls, rel=FUNCTION_CALL_TOLERANCE),
    )
