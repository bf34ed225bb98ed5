"""A request is checked against the channel's capabilities before an order exists, and each error names the field."""

import datetime as dt
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest
from django.utils import timezone

from channels.base import (
    ActionType,
    AmountLimits,
    ChannelCapabilities,
    PaymentMethod,
    RefundRules,
    RequestField,
)
from channels.guard import GuardedChannel
from gateway.models import Payment, Refund, RoutingRule
from merchants.services import NewMerchant
from orders.models import Order
from sagas.models import SagaInstance
from tests.support import background
from tests.support.channel_accounts import add_account
from tests.support.channels import AdditionalChannel, add_channel
from tests.support.shop import capture, create, data, error, get_payment, get_refund, refund
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

CARD = PaymentMethod(
    "card",
    ActionType.REDIRECT,
    currencies={"CNY": AmountLimits(100, 50_000), "JPY": AmountLimits()},
    countries=frozenset({"CN", "SG"}),
    max_seconds_to_pay=7200,
    required_fields=(RequestField.CLIENT_IP,),
    required_options=("openid",),
    optional_options=("scene",),
)
WALLET = PaymentMethod("wallet", ActionType.REDIRECT, can_capture_manually=True)
FITTING: dict[str, Any] = {
    "currency": "CNY",
    "amount": 10_000,
    "country": "CN",
    "client_ip": "203.0.113.7",
    "payment_method_options": {"openid": "o-1"},
}


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> AdditionalChannel:
    """A channel with two methods, of which the first has every limit."""
    channel = add_channel(monkeypatch, "tight")
    channel.capabilities = ChannelCapabilities(methods=(CARD, WALLET), amount_steps={"CNY": 10})
    return channel


def change_rules(channel: AdditionalChannel, **changes: Any) -> None:
    channel.capabilities = replace(channel.capabilities, **changes)


def paid(client: SignedClient, **changes: Any) -> dict[str, Any]:
    script = {"tight": "auto_pay,no_webhook"}
    payment: dict[str, Any] = data(
        create(client, channel="tight", payment_method="wallet", metadata=script, **changes)
    )
    assert payment["status"] == "succeeded"
    return payment


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("payment_method", "cash"),
        ("currency", "USD"),
        ("country", "US"),
        ("expires_in", 7201),
        ("capture_method", "manual"),
        ("client_ip", ...),
    ],
)
def test_a_field_beyond_the_capabilities(
    client: SignedClient, tight: AdditionalChannel, field: str, value: Any
) -> None:
    details = error(create(client, channel="tight", **{**FITTING, field: value}), 400, "validation_failed")
    assert list(details) == [field]
    assert not Order.objects.exists()


@pytest.mark.parametrize(
    ("method", "field"),
    [("wechat_h5", "client_ip"), ("wechat_jsapi", "payment_method_options.openid")],
)
def test_required_fields_of_the_methods_of_wechat_pay(client: SignedClient, method: str, field: str) -> None:
    refused = create(client, channel="wechat", currency="CNY", payment_method=method)
    assert list(error(refused, 400, "validation_failed")) == [field]
    assert not Order.objects.exists()


@pytest.mark.parametrize(
    ("amount", "limits"),
    [(90, {"min_amount": 100}), (50_010, {"max_amount": 50_000}), (10_005, {"multiple_of": 10})],
)
def test_an_amount_beyond_the_capabilities(
    client: SignedClient, tight: AdditionalChannel, amount: int, limits: dict[str, int]
) -> None:
    answer = create(client, channel="tight", **{**FITTING, "amount": amount})
    details = error(answer, 422, "amount_not_supported")
    assert details == {
        "channel": "tight",
        "payment_method": "card",
        "currency": "CNY",
        "amount": amount,
        **limits,
    }


@pytest.mark.parametrize(
    ("options", "wrong"),
    [({}, {"openid"}), ({"openid": ""}, {"openid"}), ({"openid": "o-1", "colour": "red"}, {"colour"})],
)
def test_options_that_are_missing_or_not_known(
    client: SignedClient, tight: AdditionalChannel, options: dict[str, str], wrong: set[str]
) -> None:
    answer = create(client, channel="tight", **{**FITTING, "payment_method_options": options})
    details = error(answer, 400, "validation_failed")
    assert set(details) == {f"payment_method_options.{name}" for name in wrong}


def test_valid_fields_reach_the_channel(client: SignedClient, tight: AdditionalChannel) -> None:
    """The channel gets all the merchant's fields about the customer and the method."""
    seen: list[Any] = []
    tight.before = lambda operation, request: seen.append(request)
    payment = data(
        create(
            client,
            channel="tight",
            customer={"id": "c-7", "email": "ana@example.com", "phone": "+86 10"},
            locale="zh-CN",
            **{
                **FITTING,
                "client_ip": "2001:db8::7",
                "payment_method_options": {"openid": "o-1", "scene": "h5"},
            },
        )
    )
    assert payment["payment_method"] == "card"
    assert Payment.objects.get(payment_no=payment["payment_no"]).payment_method == "card"
    request = seen[0]
    assert (request.payment_method, request.payment_method_options) == (
        "",
        {"openid": "o-1", "scene": "h5"},
    )
    assert request.customer.id == "c-7"
    assert (request.customer.email, request.customer.name) == ("ana@example.com", "")
    assert (request.customer.client_ip, request.customer.locale) == ("2001:db8::7", "zh-CN")
    assert request.checkout_url == payment["checkout_url"]
    assert request.account.webhook_url.endswith("/api/v1/webhooks/tight")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("client_ip", "localhost"),
        ("client_ip", 7),
        ("country", "cn"),
        ("country", "CHN"),
        ("locale", "chinese language"),
        ("locale", "zh_CN"),
        ("payment_method_options", {"openid": 7}),
        ("payment_method_options", {"n" * 41: "x"}),
        ("payment_method_options", "openid"),
        ("payment_method", 7),
    ],
)
def test_malformed_fields(client: SignedClient, field: str, value: Any) -> None:
    details = error(create(client, **{field: value}), 400, "validation_failed")
    assert [name.split(".")[0] for name in details] == [field]


class TestRefunds:
    def test_in_part(self, client: SignedClient, tight: AdditionalChannel) -> None:
        change_rules(tight, refunds=RefundRules(is_partial_allowed=False))
        payment = paid(client)
        details = error(refund(client, payment, 4_000), 400, "validation_failed")
        assert list(details) == ["amount"]
        assert data(refund(client, payment, 10_000))["status"] == "succeeded"

    def test_after_the_window(self, client: SignedClient, tight: AdditionalChannel) -> None:
        change_rules(tight, refunds=RefundRules(window_days=90))
        payment = paid(client)
        row = Payment.objects.filter(payment_no=payment["payment_no"])
        row.update(paid_at=timezone.now() - dt.timedelta(days=89, hours=23))
        data(refund(client, payment, 1_000))
        row.update(paid_at=timezone.now() - dt.timedelta(days=90))
        details = error(refund(client, payment, 1_000), 422, "refund_window_over")
        assert set(details) == {"channel", "refundable_until"}

    def test_too_many(self, client: SignedClient, tight: AdditionalChannel) -> None:
        change_rules(tight, refunds=RefundRules(max_count=2))
        payment = paid(client)
        for _number in range(2):
            data(refund(client, payment, 1_000))
        assert error(refund(client, payment, 1_000), 422, "refund_count_reached") == {
            "channel": "tight",
            "max_refunds": 2,
        }

    def test_a_refund_waits_for_the_pause_of_the_channel(
        self, client: SignedClient, tight: AdditionalChannel
    ) -> None:
        """It is accepted and reserved at once, spends no attempt, and the third waits behind the second."""
        change_rules(tight, refunds=RefundRules(min_seconds_between=600))
        payment = paid(client)
        first = data(refund(client, payment, 1_000))
        assert first["status"] == "succeeded"
        second, third = (data(refund(client, payment, 1_000), 202) for _number in range(2))
        assert second["status"] == third["status"] == "pending"
        assert get_payment(client, payment)["refundable_amount"] == 7_000
        calls = [Refund.objects.get(refund_no=each["refund_no"]).call_at for each in (second, third)]
        made_at = Refund.objects.get(refund_no=first["refund_no"]).created_at
        assert calls[0] is not None
        assert calls == [made_at + dt.timedelta(minutes=10), made_at + dt.timedelta(minutes=20)]
        for each in (second, third):
            saga = background.saga_of(each["refund_no"], "refund.create")
            step = saga.steps.get(step_name="CallChannelRefund")
            assert (step.retry_count, step.in_doubt) == (0, False)
            assert step.next_retry_at > timezone.now() + dt.timedelta(minutes=5)
        self._let_pauses_pass()
        background.finish()
        for each in (second, third):
            assert get_refund(client, each)["status"] == "succeeded"

    @staticmethod
    def _let_pauses_pass() -> None:
        for saga in SagaInstance.objects.filter(definition="refund.create"):
            step = saga.steps.get(step_name="ReserveRefund")
            if step.result:
                past = timezone.now() - dt.timedelta(seconds=1)
                saga.steps.filter(id=step.id).update(result={"call_at": past.isoformat()})


class TestCaptures:
    def test_in_part(self, client: SignedClient, tight: AdditionalChannel) -> None:
        change_rules(tight, is_partial_capture_allowed=False)
        payment = data(
            create(
                client,
                channel="tight",
                payment_method="wallet",
                capture_method="manual",
                metadata={"tight": "authorize,no_webhook"},
            )
        )
        assert list(error(capture(client, payment, amount=4_000), 400, "validation_failed")) == ["amount"]
        assert data(capture(client, payment, amount=10_000))["status"] == "succeeded"


class TestPaymentMethods:
    PATH = "/api/v1/payment-methods"

    def list_methods(self, client: SignedClient, **query: Any) -> list[dict[str, Any]]:
        values = {"amount": 10_000, "currency": "CNY", **query}
        found: list[dict[str, Any]] = self.read(client, **values)["items"]
        return found

    def read(self, client: SignedClient, **query: Any) -> dict[str, Any]:
        answer: dict[str, Any] = data(client.get(f"{self.PATH}?{urlencode(query)}"))
        return answer

    def test_a_method_is_listed_with_its_limits_and_required_fields(
        self, client: SignedClient, tight: AdditionalChannel
    ) -> None:
        card, wallet = (each for each in self.list_methods(client) if each["channel"] == "tight")
        assert card == {
            "payment_method": "card",
            "channel": "tight",
            "sandbox": False,
            "next_action": "redirect",
            "min_amount": 100,
            "max_amount": 50_000,
            "multiple_of": 10,
            "max_expires_in": 7200,
            "can_capture_manually": False,
            "required_fields": ["client_ip"],
            "required_options": ["openid"],
            "optional_options": ["scene"],
        }
        assert (wallet["payment_method"], wallet["min_amount"]) == ("wallet", None)

    @pytest.mark.parametrize("changes", [{"amount": 90}, {"currency": "USD"}, {"country": "US"}])
    def test_methods_that_cannot_take_the_payment_are_left_out(
        self, client: SignedClient, tight: AdditionalChannel, changes: dict[str, Any]
    ) -> None:
        answer = self.read(client, **{"amount": 10_000, "currency": "CNY", **changes})
        names = [(each["channel"], each["payment_method"]) for each in answer["items"]]
        assert ("tight", "card") not in names
        assert ("tight", "wallet") in names
        (refused,) = [each for each in answer["refused"] if each["channel"] == "tight"]
        payment = {**FITTING, "channel": "tight", **changes}
        body = create(client, **payment).json()
        assert (refused["error_code"], refused["details"]) == (body["error_code"], body["details"])

    def test_a_method_that_the_account_has_switched_off(
        self, client: SignedClient, acme: NewMerchant, tight: AdditionalChannel
    ) -> None:
        """The list of methods, a payment with the method and the dry run agree."""
        account = add_account(acme, "tight", payment_methods=["wallet"])
        answer = self.read(client, amount=10_000, currency="CNY")
        names = [each["payment_method"] for each in answer["items"] if each["channel"] == "tight"]
        assert names == ["wallet"]
        (refused,) = [each for each in answer["refused"] if each["channel"] == "tight"]
        assert refused["payment_method"] == "card"
        details = error(create(client, channel="tight", **FITTING), 400, "validation_failed")
        assert details == refused["details"]
        assert str(account.id) in details["payment_method"][0]
        assert not Order.objects.exists()
        wallet = data(create(client, channel="tight", payment_method="wallet"))
        assert wallet["channel_account"] == str(account.id)

    def test_routing_comes_first_and_what_is_down_is_left_out(
        self, client: SignedClient, tight: AdditionalChannel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert self.list_methods(client)[0]["channel"] == "simulator"
        RoutingRule.objects.create(environment="test", channel="tight")
        assert self.list_methods(client)[0]["channel"] == "tight"
        monkeypatch.setattr(GuardedChannel, "is_down", property(lambda channel: channel.name == "tight"))
        channels = {each["channel"] for each in self.list_methods(client)}
        assert "tight" not in channels
        assert "simulator" in channels

    @pytest.mark.parametrize(
        ("field", "value"), [("amount", "0"), ("amount", "x"), ("currency", "XXY"), ("country", "china")]
    )
    def test_malformed_queries(self, client: SignedClient, field: str, value: str) -> None:
        values = {"amount": "10000", "currency": "CNY", field: value}
        assert list(error(client.get(f"{self.PATH}?{urlencode(values)}"), 400, "validation_failed")) == [
            field
        ]

    def test_live_keys_see_no_sandbox(self, live_client: SignedClient) -> None:
        assert not [each for each in self.list_methods(live_client) if each["channel"] == "simulator"]
