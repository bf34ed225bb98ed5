"""Routing rules in the back office: added and ended with a reason, never edited."""

import pytest
from django.urls import reverse

from audit.models import StaffAction
from gateway.models import RoutingRule
from merchants.services import NewMerchant
from tests.office_access.conftest import member, signed_in
from tests.support import shop
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

NEW = "/admin/gateway/routingrule/new/"
RULE = {
    "environment": "test",
    "channel": "stripe",
    "priority": "5",
    "weight": "1",
    "currency": "usd",
    "max_amount_minor": "20000",
    "reason": "a new contract",
}


@pytest.fixture
def oli(transactional_db: None):
    return signed_in(member("oli", "Operator"))


def test_a_rule_is_added_applied_and_ended(oli, client: SignedClient, acme: NewMerchant) -> None:
    assert oli.post(NEW, {**RULE, "merchant_email": acme.merchant.email}).status_code == 302
    rule = RoutingRule.objects.get()
    assert (rule.channel, rule.priority, rule.currency, rule.merchant_id) == (
        "stripe",
        5,
        "USD",
        acme.merchant.pk,
    )
    assert shop.data(shop.create(client, channel=...))["channel"] == "stripe"
    end = reverse("admin:gateway_routingrule_end", args=[rule.pk])
    assert oli.post(end, {"reason": "it is over"}).status_code == 302
    assert shop.data(shop.create(client, channel=...))["channel"] == "simulator"
    assert oli.post(end, {"reason": "again"}).status_code == 409
    done = StaffAction.objects.order_by("id").values_list("actor", "action", "object_id", "reason")
    assert list(done) == [
        ("oli", "routing_rule.add", str(rule.pk), "a new contract"),
        ("oli", "routing_rule.end", str(rule.pk), "it is over"),
    ]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"channel": "atlantis"}, 422),
        ({"reason": " "}, 422),
        ({"weight": "0"}, 422),
        ({"currency": "XXX"}, 409),
        ({"currency": ""}, 409),
        ({"min_amount_minor": "20001"}, 409),
        ({"merchant_email": "nobody@example.com"}, 409),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else str(value),
)
def test_an_invalid_rule_is_refused(oli, change: dict[str, str], status: int) -> None:
    assert oli.post(NEW, {**RULE, **change}).status_code == status
    assert not RoutingRule.objects.exists()
    assert not StaffAction.objects.exists()


@pytest.mark.parametrize("change", ["add", "change", "delete"])
def test_a_rule_cannot_be_edited(oli, change: str) -> None:
    rule = RoutingRule.objects.create(environment="test", channel="simulator")
    address = reverse(f"admin:gateway_routingrule_{change}", args=[] if change == "add" else [rule.pk])
    assert oli.post(address, {**RULE, "post": "yes"}).status_code == 403
    assert list(RoutingRule.objects.values_list("pk", "channel")) == [(rule.pk, "simulator")]
