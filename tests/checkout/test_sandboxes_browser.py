"""A customer pays at the sandboxes of WeChat Pay and Alipay: a code on a second device, and the form of page pay."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from channels.alipay.sandbox.clock import Clock
from channels.alipay.sandbox.server import SandboxServer
from channels.wechat import certificates
from channels.wechat.sandbox.keys import format_public_key
from tests.checkout.conftest import DESKTOP, PHONE, SHOP, Windows
from tests.checkout.scanner import scan
from tests.support.alipay.account import APP_ID, CREDENTIALS, KEYS, SELLER_ID
from tests.support.shop import data, get_payment, opened, sync
from tests.support.signing import SignedClient
from tests.support.wechat_sandbox import FIRST_MCHID, key_of, wechat_sandbox

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True, databases=["default", "simulator"]),
]
WANTED = {"subject": "两杯咖啡 Two coffees", "amount": 12_800, "currency": "CNY", "return_url": SHOP}


@pytest.fixture
def _wechat(settings: Any) -> Iterator[None]:
    """The sandbox with web addresses in its codes, so that a second browser can scan them."""
    with wechat_sandbox(has_web_links=True) as sandbox:
        identity = sandbox.identities[FIRST_MCHID]
        settings.WECHAT_API_BASE = sandbox.url
        settings.WECHAT_CREDENTIALS = {
            "test": {
                "mch_id": FIRST_MCHID,
                "app_id": identity.merchant.appid,
                "api_v3_key": identity.merchant.apiv3_key,
                "private_key": identity.private_key_pem,
                "certificate_serial_no": identity.merchant.certificate_serial,
                "public_key_id": identity.merchant.public_key_id,
                "public_key": format_public_key(key_of("platform public key")),
            },
            "live": {},
        }
        certificates.forget_certificates()
        yield


@pytest.fixture
def _alipay(settings: Any) -> Iterator[None]:
    server = SandboxServer(clock=Clock())
    server.start()
    server.control.handle(
        "POST",
        "apps",
        {
            "app_id": APP_ID,
            "seller_id": SELLER_ID,
            "app_public_key": KEYS["application_public_key"],
            "alipay_private_key": KEYS["alipay_private_key_pkcs1"],
        },
    )
    settings.ALIPAY_GATEWAY_URL = server.gateway_url
    settings.ALIPAY_CREDENTIALS = {"test": CREDENTIALS, "live": {}}
    yield
    server.stop()


@pytest.mark.usefixtures("_wechat")
def test_a_customer_scans_a_code_of_wechat_pay(client: SignedClient, windows: Windows) -> None:
    desk, phone = windows.new("zh", DESKTOP), windows.new("zh", PHONE)
    payment = opened(
        client, channel="wechat", **{**WANTED, "return_url": ""}
    )  # the result stays on the screen
    assert payment["next_action"]["type"] == "qr_code"
    desk.page.goto(payment["payment_url"])
    expect(desk.page.get_by_role("heading", name="请使用微信扫码支付")).to_be_visible()
    desk.take_screenshot("wechat-sandbox-desk")
    phone.page.goto("about:blank")
    phone.page.goto(scan(desk.page, phone.page))
    phone.take_screenshot("wechat-sandbox-phone")
    phone.page.get_by_role("button", name=re.compile("立即支付")).click()
    expect(phone.page.get_by_text("支付成功")).to_be_visible()
    assert data(sync(client, payment))["status"] == "succeeded"
    expect(desk.page.locator("h1")).to_have_text("支付成功")
    desk.take_screenshot("wechat-sandbox-paid")
    phone.requests.clear()


@pytest.mark.usefixtures("_alipay")
def test_a_customer_pays_on_the_page_of_alipay(client: SignedClient, windows: Windows) -> None:
    customer = windows.new("zh", DESKTOP)
    payment = opened(client, channel="alipay", **WANTED)
    assert payment["next_action"]["type"] == "form"
    customer.page.goto(payment["payment_url"])
    customer.page.get_by_role("button", name=re.compile("登录账户付款")).click()
    customer.take_screenshot("alipay-sandbox-cashier")
    customer.page.get_by_role("button", name=re.compile("确认付款")).click()
    customer.page.wait_for_url(re.compile(r"^https://shop\.example/"))
    assert data(sync(client, payment))["status"] == "succeeded"
    assert get_payment(client, payment)["next_action"] is None
    customer.page.goto(payment["checkout_url"])
    expect(customer.page.locator("h1")).to_have_text("支付成功")
    customer.take_screenshot("alipay-sandbox-paid")
    customer.requests.clear()
