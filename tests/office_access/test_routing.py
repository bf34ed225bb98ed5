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
    "strategy": "weight",
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


def test_an_error_is_shown_at_its_field(oli) -> None:
    answer = oli.post(NEW, {**RULE, "currency": "XXX", "payment_method": "barter", "country": "d1"})
    assert set(answer.context["form"].errors) == {"currency", "payment_method", "country"}


def test_a_viewer_tries_the_rules(acme: NewMerchant) -> None:
    viewer = signed_in(member("vic", "Viewer"))
    rule = RoutingRule.objects.create(environment="test", channel="simulator", priority=7)
    page = reverse("admin:gateway_routingrule_try")
    assert page in viewer.get(reverse("admin:gateway_routingrule_changelist")).content.decode()
    imagined = {
        "merchant_email": acme.merchant.email,
        "environment": "test",
        "amount_minor": "100",
        "currency": "usd",
    }
    shown = viewer.get(page, imagined)
    (line,) = shown.context["lines"]
    assert (line.rank, line.channel, line.account, line.rule_id) == ("1", "simulator", "platform", rule.pk)
    assert "Priority 7, the only rule of it." in shown.content.decode()
    wrong = viewer.get(page, {**imagined, "currency": "XXX", "merchant_email": "nobody@example.com"})
    assert set(wrong.context["form"].errors) == {"currency", "merchant_email"}
    assert wrong.context["lines"] is None


@pytest.mark.parametrize("change", ["add", "change", "delete"])
def test_a_rule_cannot_be_edited(oli, change: str) -> None:
    rule = RoutingRule.objects.create(environment="test", channel="simulator")
    address = reverse(f"admin:gateway_routingrule_{change}", args=[] if change == "add" else [rule.pk])
    assert oli.post(address, {**RULE, "post": "yes"}).status_code == 403
    assert list(RoutingRule.objects.values_list("pk", "channel")) == [(rule.pk, "simulator")]
