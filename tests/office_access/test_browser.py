"""A second factor, a passkey and a demo payment in a real browser, under the real content security policies."""

import re
from base64 import b32decode
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect

from tests.office_access.conftest import PASSWORD, member
from tests.support.authenticators import compute_code, compute_code_of, register_authenticator
from tests.support.waiting import PATIENCE_MILLISECONDS

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True, databases=["default", "simulator"]),
]


@pytest.fixture
def page(chromium: Browser, live_server: Any, settings: Any) -> Iterator[Page]:
    """A page that fails the test if it sends a request to another host, or if the browser reports an error."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    context = chromium.new_context(base_url=live_server.url, locale="en-US")
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MILLISECONDS)
    foreign_requests, errors = [], []

    def record_request(request: Request) -> None:
        if urlsplit(request.url).scheme != "data" and not request.url.startswith(live_server.url):
            foreign_requests.append(request.url)

    def record_error(message: ConsoleMessage) -> None:
        if message.type == "error":
            errors.append(message.text)

    page.on("request", record_request)
    page.on("console", record_error)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert foreign_requests == []
    assert errors == []


def sign_in(page: Page, name: str, code: str = "") -> None:
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("Code from your authenticator app").fill(code)
    page.get_by_role("button", name="Log in").click()


def test_a_second_factor_is_enrolled_and_used(page: Page, settings: Any) -> None:
    settings.STAFF_OTP_REQUIRED = True
    settings.STAFF_OTP_THROTTLE_SECONDS = 0
    member("vera", "Viewer", password=PASSWORD)
    page.goto("/admin/gateway/payment/")
    sign_in(page, "vera")
    expect(page).to_have_url(re.compile("/admin/second-factor/$"))
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("img", name="QR code with the key").locator("svg")).to_be_visible()
    text = page.locator("#key").inner_text().replace(" ", "")
    key = b32decode(text + "=" * (-len(text) % 8))
    page.get_by_label("Code from your authenticator app").fill("000000")
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_text("This code is wrong")).to_be_visible()
    page.get_by_label("Code from your authenticator app").fill(compute_code(key))
    page.get_by_role("button", name="Confirm").click()
    expect(page.locator("#recovery-codes li")).to_have_count(10)
    recovery = page.locator("#recovery-codes li").first.inner_text()
    page.get_by_role("link", name="I have saved them").click()
    expect(page).to_have_url(re.compile("/admin/$"))

    page.context.clear_cookies()
    page.goto("/admin/gateway/payment/")
    sign_in(page, "vera", compute_code(key, steps_ahead=1))
    expect(page).to_have_url(re.compile("/admin/gateway/payment/$"))

    page.context.clear_cookies()
    page.goto("/admin/")
    sign_in(page, "vera")
    expect(page.get_by_text("Enter the code from your authenticator app")).to_be_visible()
    sign_in(page, "vera", recovery)
    expect(page).to_have_url(re.compile("/admin/$"))


def test_a_passkey_is_added_and_used(page: Page, live_server: Any, settings: Any) -> None:
    """The browser's virtual authenticator makes the passkey."""
    settings.STAFF_OTP_THROTTLE_SECONDS = 0
    settings.PUBLIC_BASE_URL = live_server.url
    vera = member("vera", "Viewer", password=PASSWORD)
    register_authenticator(vera)
    devices = page.context.new_cdp_session(page)
    devices.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    devices.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    page.goto("/admin/second-factor/")
    sign_in(page, "vera", compute_code_of(vera))
    page.get_by_label("Name of the new passkey").fill("Laptop")
    page.get_by_label("Code, to confirm that it is you").fill(compute_code_of(vera, steps_ahead=1))
    page.get_by_role("button", name="Add a passkey").click()
    page.get_by_role("button", name="Create the passkey").click()
    expect(page.get_by_label("Name of the passkey", exact=True)).to_have_value("Laptop")
    page.context.clear_cookies()
    page.goto("/admin/gateway/payment/")
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page).to_have_url(re.compile("/admin/gateway/payment/$"))


def test_a_demo_payment_is_paid_from_the_home_page(page: Page) -> None:
    page.goto("/?lang=en")
    page.get_by_role("button", name="Create a demo payment").click()
    page.get_by_role("button", name=re.compile("^Pay ")).click()
    expect(page.get_by_text("Payment successful")).to_be_visible()
