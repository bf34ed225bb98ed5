"""Routing rules choose the channel of a payment that names none."""

from collections import Counter
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from backoffice.renderers.route_decision import list_lines
from channel_accounts.loaded_accounts import clear_cache
from channel_accounts.models import StoredChannelAccount
from channels.base import ActionType, ChannelCapabilities, PaymentMethod
from common.errors import ValidationFailed
from gateway.errors import ChannelUnavailable
from gateway.flows.data import ChannelChoice
from gateway.models import RoutingRule
from gateway.services.routing import draws, routes
from gateway.services.routing.matching import RoutedPayment
from gateway.services.routing.routes import Route
from merchants.services import NewMerchant
from tests.support.channel_accounts import add_account
from tests.support.channels import add_channel
from tests.support.fixtures import new_merchant
from tests.support.shop import PAYMENTS, create, data, error, get_payment, new_no, payment_request
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


@pytest.fixture(autouse=True)
def _banks(monkeypatch: pytest.MonkeyPatch) -> None:
    methods = tuple(PaymentMethod(name, ActionType.REDIRECT) for name in ("page", "other"))
    for name in ("north", "south", "west"):
        add_channel(monkeypatch, name).capabilities = ChannelCapabilities(methods)


def rule(channel: str, **changes: Any) -> RoutingRule:
    return RoutingRule.objects.create(**{"environment": "test", "channel": channel, **changes})


def route(channel: str, *fallbacks: str) -> Route:
    return Route(ChannelChoice(channel), False, tuple(map(ChannelChoice, fallbacks)))


def choose_route(merchant: NewMerchant, environment: str = "test", **changes: Any) -> Route:
    values = {"order_no": "ORDER-1", "amount_minor": 10_000, "currency": "USD", "expires_in_seconds": 1800}
    payment = RoutedPayment(merchant_id=merchant.merchant.id, environment=environment, **(values | changes))
    return routes.route_by_rules(payment)


def choose_channel(merchant: NewMerchant, environment: str = "test", **changes: Any) -> str:
    return choose_route(merchant, environment, **changes).choice.channel


def test_test_payments_go_to_the_simulator_without_rules(client: SignedClient) -> None:
    payment = data(client.post(PAYMENTS, payment_request(channel=...)))
    assert (payment["channel"], payment["sandbox"]) == ("simulator", False)
    assert len(get_payment(client, payment)["attempts"]) == 1


def test_without_rules_the_payment_method_leads_to_its_channel(
    client: SignedClient, acme: NewMerchant
) -> None:
    """What `GET /payment-methods` offers can be sent as it stands, with no `channel`."""
    assert choose_channel(acme, payment_method="page") == "north"
    assert choose_channel(acme, payment_method="simulator_qr") == "simulator"
    payment = data(client.post(PAYMENTS, payment_request(channel=..., payment_method="card")))
    assert (payment["channel"], payment["sandbox"]) == ("stripe", True)


def test_a_payment_method_that_no_channel_has_is_named(client: SignedClient) -> None:
    answer = client.post(PAYMENTS, payment_request(channel=..., payment_method="cheque"))
    assert list(error(answer, 400, "validation_failed")["payment_method"]) != []


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
    assert choose_route(acme) == route("north")


def test_the_highest_priority_is_first_and_the_others_are_fallbacks(acme: NewMerchant) -> None:
    rule("north", priority=1)
    rule("south", priority=3)
    rule("west", priority=2)
    rule("south", priority=0)
    assert choose_route(acme) == route("south", "west", "north")


def test_a_rule_matches_when_all_its_conditions_match(acme: NewMerchant) -> None:
    other = new_merchant(name="Other")
    rule("north", priority=9, currency="EUR")
    rule("north", priority=8, merchant=other.merchant)
    rule("north", priority=7, environment="live")
    rule("north", priority=6, is_active=False)
    rule("north", priority=5, currency="USD", min_amount_minor=10_001)
    rule("north", priority=4, currency="USD", max_amount_minor=9_999)
    rule("south", priority=3, currency="USD", min_amount_minor=10_000, max_amount_minor=10_000)
    assert choose_route(acme) == route("south")
    assert choose_channel(acme, currency="EUR") == "north"
    assert choose_channel(other) == "north"
    assert choose_channel(acme, "live") == "north"
    assert choose_channel(acme, amount_minor=10_001) == "north"
    assert choose_channel(acme, amount_minor=9_999) == "north"


def test_a_rule_about_something_unknown_does_not_match(acme: NewMerchant) -> None:
    rule("south")
    conditions = {"payment_method": "page", "country": "DE", "card_brand": "visa", "card_bin": "424242"}
    for field, value in conditions.items():
        special = rule("north", priority=1, **{field: value})
        assert choose_channel(acme) == "south"
        assert choose_channel(acme, **{field: value}) == "north"
        assert choose_channel(acme, **{field: "other"}) == "south"
        special.delete()
    rule("north", priority=2, card_brand="visa")
    assert choose_channel(acme, card_brand="Visa") == "north"
    rule("west", priority=1, card_bin="42")
    assert choose_channel(acme, card_bin="424242") == "west"


def test_fields_of_the_api_match_the_conditions_of_rules(client: SignedClient) -> None:
    rule("south")
    rule("north", priority=1, payment_method="other", country="DE")
    rule("west", priority=2, card_brand="visa", card_bin="4242")
    wanted = {"channel": ..., "payment_method": "other"}
    card = {"payment_method_options": {"card_brand": "Visa", "card_bin": "424242"}}
    for fields, channel in (({}, "south"), ({"country": "DE"}, "north"), (card, "west")):
        payment = data(client.post(PAYMENTS, payment_request(**wanted, **fields)))
        assert payment["channel"] == channel


def test_a_rule_with_an_account_never_uses_another_account(acme: NewMerchant) -> None:
    own, others = add_account(acme, "north"), add_account(new_merchant(name="Other"), "north")
    rule("south")
    rule("north", priority=2, channel_account=others)
    named = rule("north", priority=1, channel_account=own)
    assert choose_route(acme).choice == ChannelChoice("north", str(own.id))
    assert [each.channel for each in choose_route(acme).fallbacks] == ["south"]
    StoredChannelAccount.objects.filter(id=own.id).update(status="disabled")
    clear_cache()
    assert choose_route(acme) == route("south")
    named.delete()


def test_a_rule_names_no_account_that_would_hold_merchants_money(acme: NewMerchant, settings: Any) -> None:
    shared = add_account(None, "north", environment="live")
    rule("north", environment="live", channel_account=shared)
    assert choose_route(acme, "live").choice == ChannelChoice("north", str(shared.id))
    settings.HOLDS_MERCHANT_FUNDS = False
    with pytest.raises(ChannelUnavailable):
        choose_route(acme, "live")


class TestMethodsThatAnAccountHasSwitchedOn:
    def test_the_newest_account_that_has_the_method_takes_the_payment(self, acme: NewMerchant) -> None:
        page = add_account(acme, "north", payment_methods=["page"])
        other = add_account(acme, "north", payment_methods=["other"])
        rule("north")
        # A payment that names no method has the channel's first one.
        for method, account in (("page", page), ("other", other), ("", page)):
            assert choose_route(acme, payment_method=method).choice == ChannelChoice("north", str(account.id))

    def test_no_account_of_the_platform_takes_the_payment_instead(self, acme: NewMerchant) -> None:
        add_account(None, "north")
        own = add_account(acme, "north", payment_methods=["page"])
        rule("north", priority=2)
        with pytest.raises(ValidationFailed) as refused:
            choose_route(acme, payment_method="other")
        assert list(refused.value.details) == ["payment_method"]
        rule("south", priority=1)
        assert choose_route(acme, payment_method="other") == route("south")
        assert choose_route(acme, payment_method="page").choice == ChannelChoice("north", str(own.id))

    def test_an_account_that_a_rule_names(self, acme: NewMerchant) -> None:
        own = add_account(acme, "north", payment_methods=["page"])
        rule("north", channel_account=own)
        with pytest.raises(ValidationFailed):
            choose_route(acme, payment_method="other")

    def test_the_dry_run_shows_the_reason(self, acme: NewMerchant) -> None:
        own = add_account(acme, "north", payment_methods=["page"])
        rule("north")
        payment = RoutedPayment(acme.merchant.id, "test", "", 10_000, "USD", 1800, payment_method="other")
        (line,) = list_lines(routes.explain_route(payment))
        assert (line.rank, line.account) == ("", str(own.id))
        assert "page" in line.reason
        assert "other" in line.reason


def test_weights_distribute_orders_and_are_repeatable(acme: NewMerchant) -> None:
    rule("north", weight=3)
    rule("south", weight=1)
    orders = [f"ORDER-{number}" for number in range(100)]
    first = [choose_route(acme, order_no=order) for order in orders]
    assert first == [choose_route(acme, order_no=order) for order in orders]
    assert {each.fallbacks for each in first} == {(ChannelChoice("north"),), (ChannelChoice("south"),)}
    many = Counter(draws.order_by_weight({"north": 3, "south": 1}, str(number))[0] for number in range(4_000))
    assert 0.7 < many["north"] / 4_000 < 0.8  # six standard deviations are 0.041


def test_removing_a_rule_moves_no_order_between_other_rules(acme: NewMerchant) -> None:
    rule("north")
    rule("south")
    third = rule("west")
    orders = [f"ORDER-{number}" for number in range(60)]
    before = {order: choose_channel(acme, order_no=order) for order in orders}
    third.delete()
    after = {order: choose_channel(acme, order_no=order) for order in orders}
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
        {"strategy": "luck"},
        {"country": "de"},
        {"card_bin": "4242x"},
    ],
)
def test_an_invalid_rule_cannot_be_stored(transactional_db: None, wrong: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        rule("north", **wrong)
