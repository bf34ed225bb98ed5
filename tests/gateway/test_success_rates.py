"""Routing by success rate: which outcomes are counted, and how the counts change the choice."""

import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.http import HttpResponse

from channels.alipay import errors as alipay_errors
from channels.paypal import errors as paypal_errors
from channels.simulator import bank
from channels.stripe import errors as stripe_errors
from channels.wechat import errors as wechat_errors
from common import redis
from gateway.flows.data import ChannelChoice
from gateway.models import PaymentAttempt, RoutingRule
from gateway.services.routing import routes, success_rates
from gateway.services.routing.decision import OrderedBy
from gateway.services.routing.draws import NO_OUTCOMES, OutcomeCounts, is_exploring, order_by_success_rate
from gateway.services.routing.matching import RoutedPayment
from gateway.services.routing.success_rates import SuccessRateKey
from gateway.tasks import store_success_rates
from tests.support.channels import add_channel
from tests.support.shop import PAYMENTS, data, error, payment_request
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

NORTH = SuccessRateKey("test", "north", "", "page", "USD")


@pytest.fixture(autouse=True)
def _two_banks(monkeypatch: pytest.MonkeyPatch, transactional_db: None) -> Iterator[None]:
    for number, name in enumerate(("north", "south"), start=1):
        add_channel(monkeypatch, name)
        RoutingRule.objects.create(id=number, environment="test", channel=name, strategy="success_rate")
    _forget()
    yield
    _forget()


def _forget() -> None:
    redis.attempt(lambda client: client.delete(success_rates.KEY), otherwise=None)
    success_rates.forget_counts()


def pay(client: SignedClient, script: str, **changes: object) -> HttpResponse:
    return client.post(PAYMENTS, payment_request(channel="north", metadata={"north": script}, **changes))


def approx(count: float) -> Any:
    """An outcome of two minutes ago counts 13 % less."""
    return pytest.approx(count, rel=0.13)


def payments(count: int) -> list[RoutedPayment]:
    """Builds payments of one merchant with fixed numbers, so that each run makes the same pseudo-random choices."""
    first = RoutedPayment(uuid.UUID(int=1), "test", "", 10_000, "USD", 1800)
    return [replace(first, order_no=f"ORDER-{number}") for number in range(count)]


def test_only_outcomes_that_the_channel_causes_are_counted(client: SignedClient) -> None:
    data(pay(client, "auto_pay"))
    data(pay(client, "auto_pay"))
    data(pay(client, ""))  # waits for its customer
    data(pay(client, "auto_pay", capture_method="manual"))  # holds the money
    error(pay(client, "insufficient_funds"), 402, "payment_declined")
    error(pay(client, "decline"), 402, "payment_declined")
    error(pay(client, "decline_elsewhere"), 402, "payment_declined")
    counts = success_rates.count_outcomes(["north", "south"])
    assert set(counts) == {NORTH}
    assert counts[NORTH].succeeded == approx(3)
    assert counts[NORTH].failed == approx(1)


def test_an_outcome_counts_half_after_ten_minutes_and_nothing_after_an_hour(client: SignedClient) -> None:
    data(pay(client, "auto_pay"))
    PaymentAttempt.objects.update(finished_at=F("finished_at") - timedelta(minutes=10))
    assert success_rates.count_outcomes(["north"])[NORTH].succeeded == approx(0.5)
    PaymentAttempt.objects.update(created_at=F("created_at") - timedelta(hours=1))
    assert success_rates.count_outcomes(["north"]) == {}


def test_the_periodic_task_brings_the_counts_to_the_next_request(
    client: SignedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    data(pay(client, "auto_pay"))
    monkeypatch.setattr(success_rates, "REFRESH_SECONDS", 3600.0)
    assert success_rates.read_counts(NORTH) == NO_OUTCOMES
    assert store_success_rates() == 1
    assert success_rates.read_counts(NORTH) == NO_OUTCOMES, "memory is used for some seconds"
    success_rates.forget_counts()
    assert success_rates.read_counts(NORTH).succeeded == approx(1)
    RoutingRule.objects.update(strategy="weight")
    assert store_success_rates() == 0


def test_the_better_channel_takes_nearly_all_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {NORTH: OutcomeCounts(20, 60), replace(NORTH, channel="south"): OutcomeCounts(80, 1)}
    monkeypatch.setattr(success_rates, "_load", lambda: known)
    success_rates.forget_counts()
    decisions = {each.order_no: routes.explain_route(each) for each in payments(200)}
    chosen = Counter((d.usable[0].choice.channel, d.usable[0].ordered_by) for d in decisions.values())
    assert chosen["south", OrderedBy.SUCCESS_RATE] > 180
    assert chosen["north", OrderedBy.SUCCESS_RATE] == 0
    assert chosen["north", OrderedBy.EXPLORATION] > 0
    assert all(len(decision.usable) == 2 for decision in decisions.values())
    again = {each.order_no: routes.explain_route(each) for each in payments(200)}
    assert again == decisions


def test_without_counts_both_channels_are_tried() -> None:
    chosen = Counter(routes.route_by_rules(each).choice for each in payments(100))
    assert min(chosen[ChannelChoice("north")], chosen[ChannelChoice("south")]) > 20


@pytest.mark.parametrize(
    "text",
    [
        b"\xff",
        "[[",
        "7",
        "[7]",
        "[[]]",
        '{"a": 1}',
        '[["test", "north", "", "", "USD", "x", 1]]',
        '[["test", "north", "", "", "USD", NaN, 1]]',
        '[["test", "north", "", "", "USD", -1, 1]]',
        '[["test", "north", "", "", "USD", 1, 1, 1]]',
    ],
)
def test_counts_that_we_did_not_write_are_ignored(text: bytes | str) -> None:
    assert success_rates.parse_counts(text) == {}


def test_draws_follow_the_counts() -> None:
    orders = [str(number) for number in range(2_000)]
    assert 0.03 < sum(map(is_exploring, orders)) / 2_000 < 0.07
    few = {"a": OutcomeCounts(9, 1), "b": OutcomeCounts(8, 2)}
    many = {"a": OutcomeCounts(900, 100), "b": OutcomeCounts(800, 200)}
    share = sum(order_by_success_rate(few, order)[0] == "a" for order in orders) / 2_000
    assert 0.6 < share < 0.85, "ten outcomes prove little"
    assert all(order_by_success_rate(many, order)[0] == "a" for order in orders)


def test_the_codes_of_the_channels_are_known() -> None:
    """Each failure code of a channel must be classified: as the channel's failure, or as one of the payment itself."""
    about_the_payment = {
        "card_not_supported",
        "currency_not_supported",
        "payment_intent_invalid_currency",
        "amount_too_large",
        "amount_too_small",
        "auth_capture_not_enabled",
        "payee_blocked_transaction",
        "transaction_blocked_by_payee",
        "transaction_receiving_limit_exceeded",
    }
    of_paypal = {issue.lower() for issue in paypal_errors._ACCOUNT_DECLINES}
    of_wechat = {code for code, can_fail_over in wechat_errors._DECLINES.values() if can_fail_over}
    of_alipay = set(alipay_errors._FAILOVER_DECLINES.values())
    codes = {bank.ACQUIRER_UNAVAILABLE, *stripe_errors._FAILOVER_CODES, *of_paypal, *of_wechat, *of_alipay}
    assert codes - about_the_payment <= set(success_rates.CHANNEL_FAILURE_CODES)
