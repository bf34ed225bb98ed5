"""Each next action in a real browser: scanned from the screen, posted, followed, and by WeChat's client."""

import re
from typing import Any
from urllib.parse import parse_qs

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Route, expect

from gateway.models import Payment
from tests.checkout.conftest import PHONE, SHOP, Customer, Windows
from tests.checkout.scanner import scan
from tests.support import bank
from tests.support.shop import Body, get_payment, opened
from tests.support.signing import SignedClient

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True, databases=["default", "simulator"]),
]

DESKTOP = {"width": 1440, "height": 900}
WECHAT_BROWSER = "Mozilla/5.0 (iPhone) AppleWebKit/605.1.15 Mobile/15E148 MicroMessenger/8.0.50(0x18003233)"


def create(client: SignedClient, method: str = "simulator", **changes: Any) -> Body:
    wanted = {"subject": "两杯咖啡 Two coffees", "amount": 12_800, "currency": "CNY", "return_url": SHOP}
    return opened(client, payment_method=method, **{**wanted, **changes})


def open_page(customer: Customer, payment: Body, query: str = "") -> None:
    customer.page.goto(payment["checkout_url"] + query)


def set_action(payment: Body, action: Body, **changes: Any) -> None:
    """Stores a next action of another channel, which the simulator cannot report."""
    Payment.objects.filter(payment_no=payment["payment_no"]).update(next_action=action, **changes)


def test_a_code_is_scanned_and_paid_on_a_second_device(client: SignedClient, windows: Windows) -> None:
    desk, phone = windows.new(size=DESKTOP), windows.new(size=PHONE)
    payment = create(client, "simulator_qr")
    assert payment["payment_url"] == payment["checkout_url"]
    open_page(desk, payment)
    phone.page.goto("about:blank")
    windows.close_shop()
    content = scan(desk.page, phone.page)
    assert content == payment["next_action"]["content"]
    desk.page.evaluate("window.neverReloaded = true")
    phone.page.goto(content)
    phone.pay()
    expect(phone.page.locator("h1")).to_have_text("Payment successful")
    bank.deliver_webhooks(payment["payment_no"])
    expect(desk.page.locator("h1")).to_have_text("Payment successful")
    assert desk.page.evaluate("window.neverReloaded"), "the page shows the result without a reload"
    windows.open_shop()
    desk.page.wait_for_url(re.compile(r"^https://shop\.example/"))
    assert parse_qs(desk.page.url.partition("?")[2])["status"] == ["succeeded"]


def test_a_form_is_posted_once_by_itself(client: SignedClient, windows: Windows) -> None:
    customer, without_scripts = windows.new(), windows.new(java_script_enabled=False)
    payment = create(client, "simulator_form", return_url="")  # the result stays on the screen
    open_page(customer, payment)
    expect(customer.page.get_by_text("Choose a test card")).to_be_visible()
    open_page(customer, payment)
    expect(customer.page.locator("#go-button")).to_be_enabled()
    open_page(without_scripts, payment)
    without_scripts.page.locator("#go-button").click()
    without_scripts.pay()
    expect(without_scripts.page.locator("h1")).to_have_text("Payment successful")
    bank.deliver_webhooks(payment["payment_no"])
    expect(customer.page.locator("h1")).to_have_text("Payment successful")
    assert get_payment(client, payment)["next_action"] is None


def test_a_form_is_redirected_between_the_channels_hosts(client: SignedClient, windows: Windows) -> None:
    """Chrome applies `form-action` to the redirects of a gateway too. It posts no form to other hosts."""
    customer, payment = windows.new(), create(client)
    posted: list[str] = []

    def gateway(route: Route) -> None:
        posted.append(route.request.post_data or "")
        route.fulfill(status=302, headers={"Location": "https://cashier.pay.example/desk"})

    customer.page.route("https://gateway.pay.example/**", gateway)
    customer.page.route(
        "https://cashier.pay.example/**",
        lambda route: route.fulfill(body="<h1>Cashier</h1>", content_type="text/html"),
    )
    fields = {
        "biz_content": '{"a":"汉 &<>"}',
        "dataset": "x",
        "submit": "y",
        "action": "z",
        "querySelector": "q",
    }
    set_action(payment, {"type": "form", "url": "https://gateway.pay.example/do", "fields": fields})
    open_page(customer, payment)
    customer.page.wait_for_url("https://cashier.pay.example/desk")
    assert {name: value for name, (value,) in parse_qs(posted[0]).items()} == fields
    customer.requests.clear()


def test_wechats_client_is_called_with_the_parameters(client: SignedClient, windows: Windows) -> None:
    customer, payment = windows.new("zh", user_agent=WECHAT_BROWSER), create(client)
    params = {"appId": "wx1", "timeStamp": "1", "package": "prepay_id=wx2", "paySign": "a+/="}
    set_action(payment, {"type": "sdk", "params": params}, channel="wechat")
    customer.page.add_init_script(
        "window.calls = []; window.WeixinJSBridge = {invoke: (name, params, done) => {"
        " window.calls.push([name, params]); done({err_msg: 'get_brand_wcpay_request:ok'}); }}"
    )
    open_page(customer, payment)
    assert customer.page.evaluate("window.calls") == [["getBrandWCPayRequest", params]]
    customer.page.locator("#wechat").click()
    assert len(customer.page.evaluate("window.calls")) == 2
    expect(customer.page.locator("h1")).to_have_text("应付金额")
    customer.take_screenshot("wechat-client")


ACTIONS: dict[str, tuple[str, Body]] = {
    "wechat-code": (
        "wechat",
        {"type": "qr_code", "content": "weixin://wxpay/bizpayurl?pr=p4lpSuKzz", "expires_at": None},
    ),
    "alipay-code": (
        "alipay",
        {"type": "qr_code", "content": "https://qr.alipay.com/bax03431ljhokirwl38f00a7", "expires_at": None},
    ),
    "ended-code": (
        "wechat",
        {"type": "qr_code", "content": "weixin://wxpay/x", "expires_at": "2026-01-01T00:00:00.000Z"},
    ),
    "open-in-wechat": ("wechat", {"type": "sdk", "params": {"appId": "wx1"}}),
    "redirect": ("stripe", {"type": "redirect", "url": "https://checkout.stripe.com/c/pay/cs_test_a1"}),
    "other-client": ("paypal", {"type": "sdk", "params": {"client_token": "x"}}),
}


@pytest.mark.parametrize(
    ("language", "size", "scheme"),
    [("zh", PHONE, "dark"), ("en", PHONE, "light"), ("zh", DESKTOP, "light"), ("en", DESKTOP, "dark")],
    ids=["zh-phone-dark", "en-phone-light", "zh-desktop-light", "en-desktop-dark"],
)
def test_every_action_is_readable_and_accessible(
    client: SignedClient, windows: Windows, language: str, size: dict[str, int], scheme: str
) -> None:
    customer = windows.new(language, size, color_scheme=scheme, reduced_motion="reduce")
    look = f"{'phone' if size is PHONE else 'desktop'}-{language}-{scheme}"
    payment = create(client)
    for name, (channel, action) in ACTIONS.items():
        set_action(payment, action, channel=channel)
        open_page(customer, payment)
        customer.take_screenshot(f"{look}-{name}")
        found = Axe().run(customer.page)
        assert found.violations_count == 0, f"{look}-{name}\n{found.generate_report()}"
        assert customer.page.evaluate("document.documentElement.scrollWidth") <= size["width"]
