"""Alipay's sandbox for tests, driven over HTTP: by the gateway, by the customer's pages, by its control API."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests

from channels.alipay.fields import BEIJING, TIME_FORMAT, to_alipay_number
from channels.alipay.sandbox.server import SandboxServer
from channels.base import FormAction, WebhookRequest
from tests.support.alipay.account import APP_ID, CREDENTIALS, KEYS, SELLER_ID
from tests.support.receiver import Receiver, WebhookResponse


@dataclass
class AlipayBank:
    url: str
    gateway_url: str
    receiver: Receiver
    http: requests.Session = field(default_factory=requests.Session)

    def control(self, method: str, name: str, **fields: Any) -> Any:
        options: dict[str, Any] = {"params": fields} if method != "POST" else {"json": fields}
        answer = self.http.request(method, f"{self.url}/control/{name}", **options, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def reset(self) -> None:
        self.control("DELETE", "faults")
        self.control("POST", "clock", set=dt.datetime.now(BEIJING).strftime(TIME_FORMAT))
        self.receiver.received.clear()
        self.receiver.respond = lambda _webhook: WebhookResponse(body=b"success")

    def advance(self, seconds: float) -> None:
        self.control("POST", "clock", advance_seconds=seconds)

    def fault(self, operation: str, kind: str, **fields: Any) -> None:
        """The next call of the operation fails so. A download names no app."""
        app = {} if operation == "download" else {"app_id": APP_ID}
        self.control("POST", "faults", operation=operation, kind=kind, **app, **fields)

    def post_page(self, page: FormAction) -> requests.Response:
        """The customer's browser posts the form."""
        return self.http.post(page.url, data=dict(page.fields), timeout=60)

    def open(self, reference: str) -> None:
        """The customer scans the code, or logs in on the page that was posted."""
        self.control("POST", "open", app_id=APP_ID, out_trade_no=to_alipay_number(reference))

    def pay(self, reference: str) -> None:
        self.control("POST", "pay", app_id=APP_ID, out_trade_no=to_alipay_number(reference))

    def refund_in_console(self, reference: str, yuan: str) -> None:
        self.control("POST", "refund", app_id=APP_ID, out_trade_no=to_alipay_number(reference), amount=yuan)

    def find_trade(self, reference: str) -> dict[str, Any] | None:
        trades = self.control("GET", "trades", seller_id=SELLER_ID)
        number = to_alipay_number(reference)
        return next((trade for trade in trades if trade["out_trade_no"] == number), None)

    def take_notices(self) -> list[WebhookRequest]:
        """Sends the due notices, and returns what arrived since the last time, oldest first."""
        self.control("POST", "notices/send")
        taken = [
            WebhookRequest(each.body, {"Content-Type": each.headers["content-type"]})
            for each in self.receiver.received
        ]
        self.receiver.received.clear()
        return taken


@contextmanager
def alipay_bank() -> Iterator[AlipayBank]:
    server = SandboxServer()
    server.start()
    with Receiver() as receiver:
        bank = AlipayBank(server.base_url, server.gateway_url, receiver)
        bank.control(
            "POST",
            "apps",
            app_id=APP_ID,
            seller_id=SELLER_ID,
            app_public_key=KEYS["application_public_key"],
            alipay_private_key=KEYS["alipay_private_key_pkcs1"],
        )
        yield bank
    server.stop()


def connect(settings: Any, bank: AlipayBank) -> None:
    """Makes the sandbox the Alipay of the platform's own account for test keys."""
    settings.ALIPAY_GATEWAY_URL = bank.gateway_url
    settings.ALIPAY_CREDENTIALS = {"test": CREDENTIALS, "live": dict.fromkeys(CREDENTIALS, "")}
    settings.PUBLIC_BASE_URL = bank.receiver.url("")
    bank.reset()
