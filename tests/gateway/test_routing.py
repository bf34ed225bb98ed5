"""Routing rules choose the channel of a payment that names none."""

from collections import Counter
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from gateway.errors import ChannelUnavailable
from gateway.models import RoutingRule
from gateway.services import routing
from gateway.services.routing import Route
from merchants.principal import Principal
from merchants.services import NewMerchant
from tests.support.channels import add_channel
from tests.support.fixtures import new_merchant
from tests.support.shop import PAYMENTS, create, data, error, get_payment, new_no, payment_request
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


@pytest.fixture(autouse=True)
def _banks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("north", "south", "west"):
        add_channel(monkeypatch, name)


def rule(channel: str, **changes: Any) -> RoutingRule:
    return RoutingRule.objects.create(**{"environment": "test", "channel": channel, **changes})


def principal_of(merchant: NewMerchant, environment: str = "test") -> Principal:
    key = merchant.test_key if environment == "test" else merchant.live_key
    return Principal(
        merchant_id=merchant.merchant.id,
        environment=environment,
        key_id=key.api_key.id,
        scopes=frozenset(),
        is_demo=False,
    )


def choose_route(merchant: NewMerchant, environment: str = "test", **changes: Any) -> Route:
    values = {"order_no": "ORDER-1", "amount_minor": 10_000, "currency": "USD", "expires_in_seconds": 1800}
    values |= changes
    return routing.route_by_rules(principal=principal_of(merchant, environment), **values)


def test_test_payments_go_to_the_simulator_without_rules(client: SignedClient) -> None:
    payment = data(client.post(PAYMENTS, payment_request(channel=...)))
    assert (payment["channel"], payment["sandbox"]) == ("simulator", False)
    assert len(get_payment(client, payment)["attempts"]) == 1


def test_live_payments_are_refused_without_rules_and_without_stripe(live_client: SignedClient) -> None:
    details = error(live_client.post(PAYMENTS, payment_request(channel=...)), 422, "channel_not_available")
    assert "stripe" in details["channel"][0]


def test_an_empty_channel_means_the_routing_rules(client: SignedClient) -> None:
    """Generated clients send the published default (ADR 20)."""
    left_out = data(client.post(PAYMENTS, payment_request(channel=...)))
    assert data(create(client, channel=""))["channel"] == left_out["channel"] == "simulator"


def test_a_rule_with_an_unknown_channel_is_reported(acme: NewMerchant) -> None:
    rule("atlantis")
    with pytest.raises(ChannelUnavailable) as refused:
        choose_route(acme)
    assert "atlantis" in str(refused.value.details)
    rule("north", priority=-1)
    assert choose_route(acme) == Route("north", False)


def test_the_highest_priority_is_first_and_the_others_are_fallbacks(acme: NewMerchant) -> None:
    rule("north", priority=1)
    rule("south", priority=3)
    rule("west", priority=2)
    rule("south", priority=0)
    assert choose_route(acme) == Route("south", False, ("west", "north"))


def test_a_rule_matches_when_all_its_conditions_match(acme: NewMerchant) -> None:
    other = new_merchant(name="Other")
    rule("north", priority=9, currency="EUR")
    rule("north", priority=8, merchant=other.merchant)
    rule("north", priority=7, environment="live")
    rule("north", priority=6, is_active=False)
    rule("north", priority=5, currency="USD", min_amount_minor=10_001)
    rule("north", priority=4, currency="USD", max_amount_minor=9_999)
    rule("south", priority=3, currency="USD", min_amount_minor=10_000, max_amount_minor=10_000)
    assert choose_route(acme) == Route("south", False)
    assert choose_route(acme, currency="EUR").channel == "north"
    assert choose_route(other).channel == "north"
    assert choose_route(acme, "live").channel == "north"
    assert choose_route(acme, amount_minor=10_001).channel == "north"
    assert choose_route(acme, amount_minor=9_999).channel == "north"


def test_weights_distribute_orders_and_are_repeatable(acme: NewMerchant) -> None:
    rule("north", weight=3)
    rule("south", weight=1)
    orders = [f"ORDER-{number}" for number in range(2_000)]
    first = [choose_route(acme, order_no=order) for order in orders]
    assert first == [choose_route(acme, order_no=order) for order in orders]
    share = Counter(route.channel for route in first)["north"] / len(orders)
    assert 0.7 < share < 0.8  # six standard deviations are 0.058
    assert {route.fallback_channels for route in first} == {("north",), ("south",)}


def test_removing_a_rule_moves_no_order_between_other_rules(acme: NewMerchant) -> None:
    rule("north")
    rule("south")
    third = rule("west")
    orders = [f"ORDER-{number}" for number in range(300)]
    before = {order: choose_route(acme, order_no=order).channel for order in orders}
    third.delete()
    after = {order: choose_route(acme, order_no=order).channel for order in orders}
    assert all(after[order] == channel for order, channel in before.items() if channel != "west")


def test_a_repeated_key_keeps_the_channel_after_the_rules_changed(client: SignedClient) -> None:
    rule("north")
    values, key = payment_request(channel=...), new_no("key")
    payment = data(client.post(PAYMENTS, values, idempotency_key=key))
    RoutingRule.objects.update(channel="south")
    assert data(client.post(PAYMENTS, values, idempotency_key=key)) == payment
    assert payment["channel"] == "north"


@pytest.mark.parametrize(
    "wrong",
    [
        {"weight": 0},
        {"min_amount_minor": 1},
        {"currency": "USD", "min_amount_minor": 2, "max_amount_minor": 1},
        {"environment": "staging"},
    ],
)
def test_an_invalid_rule_cannot_be_stored(transactional_db: None, wrong: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        rule("north", **wrong)
