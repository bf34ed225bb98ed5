"""Routing rules from the terminal: each change is audited, invalid rules are refused, and payments follow the rules."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import translation

from audit.models import StaffAction
from channel_accounts.models import StoredChannelAccount
from gateway.models import RoutingRule
from merchants.services import NewMerchant
from tests.support.fixtures import new_merchant
from tests.support.shop import create, data
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])
WHY = ("--reason=a new contract", "--actor=ana")


def routing(*arguments: str) -> str:
    output = StringIO()
    with translation.override("en"):
        call_command("routing", *arguments, stdout=output)
    return output.getvalue()


def test_a_rule_is_added_applied_and_ended(client: SignedClient, acme: NewMerchant) -> None:
    rule = ("--environment=test", "--currency=usd", "--max-amount=20000", f"--merchant={acme.merchant.email}")
    printed = routing("add", "stripe", *rule, *WHY)
    assert printed == routing("list")
    assert "stripe" in printed
    assert acme.merchant.email in printed
    assert data(create(client, channel=...))["channel"] == "stripe"
    assert data(create(client, channel=..., amount=20_001))["channel"] == "simulator"
    (made,) = RoutingRule.objects.all()
    routing("end", str(made.pk), *WHY)
    assert routing("list") == ""
    assert data(create(client, channel=...))["channel"] == "simulator"
    acts = StaffAction.objects.filter(object_type="routing_rule").order_by("created_at")
    assert [(act.action, act.actor, act.reason) for act in acts] == [
        ("routing_rule.add", "terminal:ana", "a new contract"),
        ("routing_rule.end", "terminal:ana", "a new contract"),
    ]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("add", "atlantis", "--environment=test"), "no channel atlantis"),
        (("add", "stripe", "--environment=test", "--currency=XXX"), "currency XXX"),
        (("add", "stripe", "--environment=test", "--min-amount=5"), "needs a currency"),
        (
            ("add", "stripe", "--environment=test", "--currency=USD", "--min-amount=9", "--max-amount=1"),
            "above the maximum",
        ),
        (("add", "stripe", "--environment=test", "--weight=0"), "at least 1"),
        (("add", "stripe", "--environment=test", "--merchant=nobody@example.com"), "nobody@example.com"),
        (("end", "4711"), "no rule 4711"),
    ],
)
def test_an_invalid_rule_is_refused_and_nothing_is_written(arguments: tuple[str, ...], error: str) -> None:
    with pytest.raises(CommandError, match=error):
        routing(*arguments, *WHY)
    assert not RoutingRule.objects.exists()
    assert not StaffAction.objects.exists()


def test_every_condition_is_listed_and_each_wrong_field_is_named() -> None:
    conditions = ("--currency=eur", "--country=de", "--card-brand=Visa", "--card-bin=424242")
    routing("add", "stripe", "--environment=test", "--strategy=success_rate", *conditions, *WHY)
    (made,) = RoutingRule.objects.all()
    assert (made.country, made.card_brand, made.card_bin) == ("DE", "visa", "424242")
    for part in ("success_rate", "EUR", "country DE", "card visa 424242"):
        assert part in routing("list")
    wrong = ("--currency=XXX", "--country=deu", "--card-bin=4242x", "--weight=0", "--method=barter")
    with pytest.raises(CommandError) as refused:
        routing("add", "stripe", "--environment=test", *wrong, *WHY)
    for field in ("currency:", "country:", "card_bin:", "weight:", "payment_method:"):
        assert field in str(refused.value)


def test_a_rule_names_an_account_of_its_own_channel_environment_and_merchant(acme: NewMerchant) -> None:
    def account(**changes: Any) -> StoredChannelAccount:
        values = {"environment": "test", "channel": "stripe", "display_name": "A", "sealed_credentials": "x"}
        return StoredChannelAccount.objects.create(**(values | changes))

    shared, own = account(), account(merchant=acme.merchant)
    add = ("add", "stripe", "--environment=test", *WHY)
    mine = f"--merchant={acme.merchant.email}"
    routing(*add, f"--account={shared.id}")
    routing(*add, f"--account={own.id}", mine)
    assert str(own.id) in routing("list")
    assert set(RoutingRule.objects.values_list("channel_account", flat=True)) == {shared.id, own.id}
    other = new_merchant(name="Other")
    for wrong, text in (
        ((f"--account={own.id}",), "name that merchant"),
        ((f"--account={own.id}", f"--merchant={other.merchant.email}"), "name that merchant"),
        ((f"--account={account(channel='simulator').id}",), "account at simulator"),
        ((f"--account={account(environment='live').id}",), "account is for live"),
        (("--account=00000000-0000-0000-0000-000000000000",), "no such channel account"),
        (("--account=mine",), "no such channel account"),
    ):
        with pytest.raises(CommandError, match=f"channel_account: .*{text}"):
            routing(*add, *wrong)
    assert RoutingRule.objects.count() == 2


def test_a_dry_run_says_which_channel_would_take_a_payment_and_why(acme: NewMerchant) -> None:
    add = ("add", "simulator", "--environment=test")
    routing(*add, "--priority=2", *WHY)
    routing(*add, "--priority=3", "--currency=EUR", *WHY)
    routing(*add, "--priority=1", *WHY)

    def try_route(*arguments: str) -> list[str]:
        output = StringIO()
        with translation.override("en"):
            call_command("route_payment", f"--merchant={acme.merchant.email}", *arguments, stdout=output)
        return output.getvalue().splitlines()

    chosen, repeated, unmatched = try_route("--amount=100", "--currency=usd")
    assert chosen.split()[:3] == ["1", "simulator", "platform"]
    assert "Priority 2, the only rule of it." in chosen
    assert "better rule" in repeated
    assert "does not match (currency)" in unmatched
    RoutingRule.objects.all().delete()
    (default,) = try_route("--amount=100", "--currency=USD")
    assert "no rule matches" in default
    assert "not available" in try_route("--amount=1", "--currency=USD", "--environment=live")[0]
    with pytest.raises(CommandError, match=r"currency: .*amount_minor: "):
        try_route("--amount=0", "--currency=XXX")


def test_a_reason_is_required() -> None:
    with pytest.raises(CommandError, match="Give your name and a reason"):
        routing("add", "stripe", "--environment=test", "--reason= ", "--actor=ana")
