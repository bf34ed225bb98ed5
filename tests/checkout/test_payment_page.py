"""Our payment page: each next action (codes, forms, WeChat's client), hostile values, and the status."""

import json
import re
from html import unescape
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client

from channels.base import FormAction, RedirectAction, SdkAction
from channels.simulator.channel import SimulatorChannel
from checkout import poll_limit
from checkout.actions import prepare_action
from common.redaction import CHANNEL_EVENTS, LOGS, PAGES, STEP_INPUTS, RedactionRules, redact
from gateway.models import Payment, PaymentAttempt
from gateway.next_action import describe_next_action
from tests.support import bank
from tests.support.channels import add_channel
from tests.support.shop import Body, opened, refund
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

WECHAT_BROWSER = "Mozilla/5.0 (iPhone) AppleWebKit/605.1.15 Mobile/15E148 MicroMessenger/8.0.50(0x18003233)"
CODE = {"type": "qr_code", "content": "weixin://wxpay/bizpayurl?pr=p4lpSuKzz", "expires_at": None}
FORM = {
    "type": "form",
    "url": "https://openapi.alipay.com/gateway.do?charset=utf-8",
    "fields": {
        "biz_content": '{"subject":"<b>"}',
        "sign": 'a"+/=',
        "action": "x",
        "submit": "y",
        "dataset": "z",
    },
}
JSAPI = {
    "type": "sdk",
    "params": {
        "appId": "wx1",
        "timeStamp": "1",
        "nonceStr": "n",
        "package": "prepay_id=wx2",
        "signType": "RSA",
    },
}


@pytest.fixture
def payment(client: SignedClient, monkeypatch: pytest.MonkeyPatch) -> Body:
    add_channel(monkeypatch, "north")
    return opened(client, channel="north", return_url="https://shop.example/thanks")


def change(payment: Body, **values: Any) -> None:
    assert Payment.objects.filter(payment_no=payment["payment_no"]).update(**values) == 1


def path_of(payment: Body) -> str:
    return "/checkout/" + payment["checkout_url"].rsplit("/", 1)[1]


def get(payment: Body, path: str = "", language: str = "en", **headers: str) -> Any:
    return Client(headers={"Accept-Language": language, **headers}).get(path_of(payment) + path)


def show(payment: Body, action: Any, *, language: str = "en", **changes: Any) -> tuple[str, str]:
    """Returns the page of a payment with this action, and the content security policy of the response."""
    headers = changes.pop("headers", {})
    change(payment, next_action=action, **changes)
    answer = get(payment, language=language, **headers)
    assert answer.status_code == 200
    return answer.content.decode(), answer["Content-Security-Policy"]


# --- Each action ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channel", "language", "title"),
    [
        ("wechat", "en", "Scan with WeChat to pay"),
        ("wechat", "zh-CN", "请使用微信扫码支付"),
        ("alipay", "en", "Scan with Alipay to pay"),
        ("alipay", "zh-CN", "请使用支付宝扫码支付"),
        ("north", "en", "Scan with your phone to pay"),
        ("north", "zh-CN", "请使用手机扫码支付"),
    ],
)
def test_a_code_is_shown_with_the_name_of_its_app(
    payment: Body, channel: str, language: str, title: str
) -> None:
    page, policy = show(payment, CODE, language=language, channel=channel)
    assert title in page
    assert page.count('<svg viewBox="0 0 ') >= 1
    assert 'class="qr"' in page
    assert "weixin://" not in page, "WeChat opens its codes with the scanner only, not from a link"
    for inline in ("style=", "<style", "onclick", "http:", "<script>"):
        assert inline not in page
    assert "form-action 'self';" in f"{policy};"


def test_a_web_address_in_a_code_is_also_a_link_for_phones(payment: Body) -> None:
    action = {**CODE, "content": "https://qr.alipay.com/bax03431?a=1&b=2"}
    page, _policy = show(payment, action, channel="alipay")
    assert 'href="https://qr.alipay.com/bax03431?a=1&amp;b=2"' in page
    assert "Open Alipay" in page


def test_the_code_can_be_saved_as_a_picture(payment: Body) -> None:
    show(payment, CODE)
    picture = get(payment, "/code.png")
    assert picture["Content-Type"] == "image/png"
    assert picture.content.startswith(b"\x89PNG")
    assert picture["Content-Disposition"] == f'attachment; filename="{payment["payment_no"]}.png"'
    show(payment, FORM)
    assert get(payment, "/code.png").status_code == 404


def test_a_code_ends_before_its_payment(payment: Body) -> None:
    page, _policy = show(payment, {**CODE, "expires_at": "2026-01-01T00:00:00.000Z"})
    assert "The time to pay is over" in page
    assert 'class="qr"' not in page
    assert "Nothing was charged" not in page, "the channel has not been queried yet"
    assert get(payment, "/code.png").status_code == 404


def test_a_form_goes_to_the_channels_hosts_alone(payment: Body) -> None:
    page, policy = show(payment, FORM, channel="alipay")
    assert '<form method="post" action="https://openapi.alipay.com/gateway.do?charset=utf-8"' in page
    shown = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page))
    assert {name: unescape(value) for name, value in shown.items()} == FORM["fields"]
    assert "form-action 'self' https://openapi.alipay.com https://*.alipay.com;" in f"{policy};"
    assert "unsafe" not in policy
    _page, policy = show(payment, CODE)
    assert "alipay.com" not in policy


def test_wechats_client_is_called_in_wechat_only(payment: Body) -> None:
    page, _policy = show(payment, JSAPI, channel="wechat", headers={"User-Agent": WECHAT_BROWSER})
    (params,) = re.findall(r'data-params="([^"]*)"', page)
    assert json.loads(unescape(params)) == JSAPI["params"]
    page, _policy = show(payment, JSAPI, channel="wechat")
    assert "Please open this page in WeChat" in page
    assert 'class="qr"' in page
    assert "prepay_id" not in page
    page, _policy = show(payment, JSAPI, channel="north")
    assert "This payment cannot be continued here" in page
    assert "prepay_id" not in page


@pytest.mark.parametrize("rules", [LOGS, CHANNEL_EVENTS, STEP_INPUTS, PAGES])
def test_parameters_of_a_next_action_are_redacted(rules: RedactionRules) -> None:
    action = SdkAction({"prepay": "secret-of-a-client"})
    hidden = redact({"payment": {"next_action": describe_next_action(action), "status": "open"}}, rules)
    assert "secret-of-a-client" not in f"{hidden} {action!r}"
    assert hidden["payment"]["status"] == "open"


@pytest.mark.parametrize(
    ("channel", "method", "action"),
    [
        ("wechat", "wechat_native", "qr_code"),
        ("alipay", "alipay_qr", "qr_code"),
        ("alipay", "alipay_page", "form"),
        ("alipay", "alipay_wap", "form"),
        ("wechat", "wechat_h5", "redirect"),
    ],
)
def test_the_simulator_returns_the_next_action_of_the_replaced_channel(
    client: SignedClient, channel: str, method: str, action: str
) -> None:
    wanted = {"payment_method": method, "currency": "CNY", "client_ip": "203.0.113.7"}
    payment = opened(client, channel=channel, **wanted)
    assert payment["sandbox"]
    assert payment["next_action"]["type"] == action


def test_the_banner_follows_the_money(payment: Body, monkeypatch: pytest.MonkeyPatch) -> None:
    """WeChat Pay has no test mode, so an account for test keys may move real money."""
    page, _policy = show(payment, CODE)
    assert "no real money is moved" in page
    monkeypatch.setattr(SimulatorChannel, "moves_real_money", lambda _channel, _account: True)
    page, _policy = show(payment, CODE)
    assert "no real money is moved" not in page


# --- Hostile values ---------------------------------------------------------------------------------------------


HOSTILE = [
    "javascript:alert(1)",
    "data:text/html,x",
    "vbscript:x",
    "file:///etc/passwd",
    "//evil.example/",
    "https://",
    "https://a.example;script-src *",
    "http://[",
    "x" * 20_000,
]


@pytest.mark.parametrize("url", HOSTILE)
def test_no_page_leads_to_a_hostile_address(payment: Body, url: str) -> None:
    for action in (
        {"type": "redirect", "url": url} if ";" not in url else {"type": "redirect", "url": "javascript:x"},
        {"type": "form", "url": url, "fields": {"a": "b"}},
    ):
        page, policy = show(payment, action)
        assert "This payment cannot be continued here" in page
        assert 'method="post"' not in page
        assert f'href="{url[:20]}' not in page or url.startswith("https://")
        assert "form-action 'self';" in f"{policy};"
    page, _policy = show(payment, {**CODE, "content": url})
    assert f'href="{url[:20]}' not in page or url.startswith("https://")


@pytest.mark.parametrize("content", ["", "x" * 2_954, "汉" * 2_000, "\x1b[31m", "x" * 1_000_000])
def test_a_code_that_cannot_be_drawn_is_no_error(payment: Body, content: str) -> None:
    page, _policy = show(payment, {**CODE, "content": content})
    assert ("cannot be continued" in page) == ("\x1b" not in content)


def test_live_payments_use_https_alone() -> None:
    for action in (RedirectAction("http://pay.example/"), FormAction("http://pay.example/", {})):
        shown = [
            prepare_action(
                action, channel="north", amount="", page_url="", user_agent="", allows_http=allows_http
            )
            for allows_http in (True, False)
        ]
        assert shown[0] is not None
        assert shown[1] is None


def test_texts_of_merchants_and_channels_are_escaped(payment: Body) -> None:
    attack = '"><script>alert(1)</script>{{ settings.SECRET_KEY }}'
    page, _policy = show(
        payment,
        {"type": "form", "url": "https://pay.example/?a=" + "b" * 1_000, "fields": {attack: attack * 500}},
        subject=attack,
        body=attack * 200,
        return_url='https://shop.example/"><script>',
    )
    assert page.count("<script") == 1
    assert "{{ settings.SECRET_KEY }}" in page


@pytest.mark.parametrize(
    "query",
    ["next=https://evil.example", "return_url=https://evil.example", "lang=//evil.example", "lang=%00"],
)
def test_no_parameter_leads_to_another_host(payment: Body, query: str) -> None:
    show(payment, CODE)
    answer = get(payment, f"?{query}")
    assert answer.status_code == (400 if "%00" in query else 200)
    assert b"evil.example" not in answer.content


@pytest.mark.parametrize(
    "token", ["", "x", "\0", "a" * 100_000, "支付", "../../admin", "//evil.example", "a/b?c#d"]
)
def test_the_simulators_gateway_leads_to_its_own_pages_alone(token: str) -> None:
    browser = Client(raise_request_exception=False)
    assert browser.post("/checkout/simulator/form", {"token": token}).status_code in (400, 404)
    assert browser.post("/checkout/simulator/form", b"\xff\xfe", content_type="text/plain").status_code == 404
    assert browser.get("/checkout/simulator/form").status_code == 405


def test_the_simulators_gateway_leads_to_the_page(client: SignedClient) -> None:
    payment = opened(client)
    path = "/" + payment["payment_url"].split("/", 3)[3]
    answer = Client(enforce_csrf_checks=True).post(
        "/checkout/simulator/form?lang=en&next=https://evil.example", {"token": path.rsplit("/", 1)[1]}
    )
    assert (answer.status_code, answer["Location"]) == (303, f"{path}?lang=en")


# --- The status -------------------------------------------------------------------------------------------------


def test_the_status_says_nothing_else(client: SignedClient) -> None:
    payment = opened(client)
    answer = get(payment, "/status")
    assert json.loads(answer.content) == {"status": "open", "is_final": False}
    assert "no-store" in answer["Cache-Control"]
    bank.pay(payment)
    bank.deliver_webhooks(payment["payment_no"])
    assert json.loads(get(payment, "/status").content) == {"status": "paid", "is_final": True}
    simulated = Client().get(f"/{payment['payment_url'].split('/', 3)[3]}/status")
    assert json.loads(simulated.content) == {"status": "paid", "is_final": True}


def test_strangers_get_no_status(payment: Body) -> None:
    path = path_of(payment)
    name, signature = path.rsplit("/", 1)[1].split(".")
    browser = Client(raise_request_exception=False)
    for token in (f"{name}.{'A' * 43}", f"{name[::-1]}.{signature}", "x", "a" * 5_000, "支付", "%FF"):
        for tail in ("", "/status", "/code.png"):
            for answer in (browser.get(f"/checkout/{token}{tail}"), browser.head(f"/checkout/{token}{tail}")):
                assert answer.status_code == 404, (token, tail)
    for tail in ("", "/status", "/code.png"):
        assert browser.post(path + tail).status_code == 405
    assert browser.head(f"{path}/status").status_code == 200


def test_polling_is_limited_for_each_payment(
    payment: Body, client: SignedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poll_limit, "MAX_POLLS", 2)
    monkeypatch.setattr(poll_limit, "time", SimpleNamespace(time=lambda: 1_800_000_010.0))
    other = opened(client, channel="north")
    assert [get(payment, "/status").status_code for _ in range(4)] == [200, 200, 429, 429]
    refused = get(payment, "/status")
    assert refused["Retry-After"] == str(60 - 1_800_000_010 % 60)
    assert json.loads(refused.content) == {"status": "too_many_requests"}
    assert get(other, "/status").status_code == 200
    assert get(payment).status_code == 200, "the page itself can always be opened"


# --- Money ------------------------------------------------------------------------------------------------------


def test_a_late_payment_is_always_shown(client: SignedClient, payment: Body) -> None:
    bank.let_payment_expire(payment["payment_no"])
    client.post(f"/api/v1/payments/{payment['payment_no']}/sync", {})
    assert "Nothing was charged" in get(payment).content.decode()
    change(payment, captured_minor=10_000)
    page = get(payment).content.decode()
    assert "We received $100.00 after this payment had ended, and hold it" in page
    assert "Nothing was charged" not in page
    change(payment, refunded_minor=10_000)
    assert "refunded it to you" in get(payment).content.decode()


def test_a_disputed_payment_is_still_paid(client: SignedClient) -> None:
    """The customer's bank holds or took the money: neither is a refund of ours, and nobody is asked to pay again."""
    payment = opened(client, return_url="")
    bank.pay(payment)
    bank.deliver_webhooks(payment["payment_no"])
    change(payment, disputed_minor=10_000)
    page = get(payment).content.decode()
    assert "Payment successful" in page
    assert "refunded" not in page
    assert "Nothing was charged" not in page


def test_a_payment_of_an_earlier_attempt_is_always_shown(client: SignedClient, payment: Body) -> None:
    bank.let_payment_expire(payment["payment_no"])
    client.post(f"/api/v1/payments/{payment['payment_no']}/sync", {})
    PaymentAttempt.objects.filter(payment__payment_no=payment["payment_no"]).update(duplicate_minor=7_000)
    assert "We received $70.00 after this payment had ended" in get(payment).content.decode()
    assert json.loads(get(payment, "/status").content)["status"] == "late_held"


def test_a_refund_is_shown_on_both_pages(client: SignedClient) -> None:
    payment = opened(client, return_url="")
    bank.pay(payment)
    bank.deliver_webhooks(payment["payment_no"])
    refund(client, payment, 4_000)
    simulated = Client(headers={"Accept-Language": "en"}).get("/" + payment["payment_url"].split("/", 3)[3])
    for page in (get(payment), simulated):
        assert "$40.00 of it was refunded to you" in page.content.decode()
    refund(client, payment, 6_000)
    assert "$100.00 was refunded to you" in get(payment).content.decode()
