"""A customer's browser: headless Chromium against the platform, served by real threads.

With CHECKOUT_SCREENSHOTS=/some/folder, screenshots are stored there.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route

from tests.support.fixtures import _in_a_hurry, acme, client  # noqa: F401
from tests.support.waiting import PATIENCE_MILLISECONDS

SHOP = "https://shop.example/thanks"
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
LOCALES = {"zh": "zh-CN", "en": "en-US"}


@dataclass
class Customer:
    """One browser window, with the addresses that it requested and the errors that it logged."""

    page: Page
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def open(self, payment: dict[str, Any], query: str = "") -> None:
        self.page.goto(payment["payment_url"] + query)

    def take_screenshot(self, name: str) -> None:
        folder = os.environ.get("CHECKOUT_SCREENSHOTS")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(folder, f"{name}.png"), full_page=True)

    def choose_card(self, text: str) -> None:
        self.page.get_by_label(re.compile(text)).check()

    def pay(self) -> None:
        self.page.locator("#pay button").click()

    def title(self) -> str:
        return self.page.locator("h1").inner_text()


class Windows:
    def __init__(self, chromium: Browser, base: str) -> None:
        self._chromium, self._base = chromium, base
        self._open: list[Any] = []
        self._waiting_for_shop: list[Route] | None = None
        self.all: list[Customer] = []

    def new(self, language: str = "en", size: dict[str, int] = PHONE, **options: Any) -> Customer:
        context = self._chromium.new_context(
            locale=LOCALES[language], viewport=size, device_scale_factor=2, **options
        )
        context.set_default_timeout(PATIENCE_MILLISECONDS)
        self._open.append(context)
        customer = Customer(context.new_page())
        self.all.append(customer)

        context.route(re.compile(r"^https://shop\.example/"), self._answer_for_shop)
        customer.page.on("request", lambda request: customer.requests.append(request.url))
        customer.page.on("console", lambda message: self._record_error(customer, message.type, message.text))
        customer.page.on("pageerror", lambda error: customer.errors.append(str(error)))
        return customer

    def close_shop(self) -> None:
        """Until `open_shop`, the shop does not answer, so that a page that redirects to it stays on the screen."""
        self._waiting_for_shop = []

    def open_shop(self) -> None:
        waiting, self._waiting_for_shop = self._waiting_for_shop or [], None
        for route in waiting:
            self._answer_for_shop(route)

    def _answer_for_shop(self, route: Route) -> None:
        if self._waiting_for_shop is not None:
            self._waiting_for_shop.append(route)
            return
        route.fulfill(status=200, content_type="text/html", body="<title>Shop</title><h1>Thank you</h1>")

    @staticmethod
    def _record_error(customer: Customer, kind: str, text: str) -> None:
        if kind == "error":
            customer.errors.append(text)

    def close(self) -> None:
        for context in self._open:
            context.close()


@pytest.fixture
def windows(chromium: Browser, live_server: Any, settings: Any) -> Iterator[Windows]:
    settings.PUBLIC_BASE_URL = live_server.url
    opened = Windows(chromium, live_server.url)
    yield opened
    opened.close()
    for customer in opened.all:
        assert customer.errors == [], "a script failed, or the page's own policy refused something"
        foreign = [url for url in customer.requests if not url.startswith((live_server.url, "data:", SHOP))]
        assert foreign == [], "the page loaded something from another host"


@pytest.fixture
def customer(windows: Windows) -> Customer:
    return windows.new()


@pytest.fixture(autouse=True)
def _no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sends no wake-up hint to workers: the tests deliver webhooks themselves."""
    monkeypatch.setattr("channels.simulator.notifications.send_hint", lambda _task: None)
