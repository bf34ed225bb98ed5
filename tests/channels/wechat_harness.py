"""The harness of WeChat Pay: its sandbox, over HTTP."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import pytest
import requests

from channels.base import (
    ChannelAccount,
    ChannelPayment,
    CreatePayment,
    CreateRefund,
    Customer,
    WebhookRequest,
)
from channels.registry import get_platform_account
from channels.wechat import statements
from channels.wechat.channel import WechatChannel
from channels.wechat.sandbox.keys import format_public_key
from tests.channels.harness import let_refund_pauses_pass
from tests.support.channels import build_creation
from tests.support.wechat_sandbox import FIRST_MCHID, WechatSandbox

SHOP_IP, OPENID = "14.23.150.211", "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"
PAUSE_SECONDS, REFUND_SECONDS = 61, 3
# The fields that the customer's browser and WeChat add to a creation, for each method.
METHOD_FIELDS: dict[str, dict[str, Any]] = {
    "wechat_native": {},
    "wechat_jsapi": {"payment_method_options": {"openid": OPENID}},
    "wechat_h5": {"client_ip": SHOP_IP},
}


class WechatHarness:
    currency = "CNY"
    pays_at_once = False
    approves = False

    def __init__(self, request: pytest.FixtureRequest, sandbox: WechatSandbox, method: str) -> None:
        self.sandbox = sandbox
        self.method = method
        self.channel = WechatChannel()
        self._monkeypatch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
        self.webhooks: list[WebhookRequest] = []

    @property
    def account(self) -> ChannelAccount:
        return get_platform_account("wechat", "test")

    def build_creation(self, *, loses: str = "", **changes: Any) -> CreatePayment:
        if loses:
            self.plan(loses, "prepay")
        options = {"openid": OPENID} if self.method == "wechat_jsapi" else {}
        fields = {
            "customer": Customer(client_ip=SHOP_IP),
            "account": self.account,
            "currency": self.currency,
            "payment_method": self.method,
            "payment_method_options": options,
            **changes,
        }
        return build_creation(**fields)

    def build_api_fields(self, *, loses: str = "") -> dict[str, Any]:
        if loses:
            self.plan(loses, "prepay")
        if self.method == "wechat_native":  # the first method: none need be named
            return {"channel": "wechat"}
        return {"channel": "wechat", "payment_method": self.method, **METHOD_FIELDS[self.method]}

    def pay(self, payment: ChannelPayment) -> None:
        self.pay_reference(payment.reference)

    def pay_reference(self, reference: str) -> None:
        self.control("pay", out_trade_no=reference)

    def read_amounts(self, reference: str) -> tuple[int, int]:
        books = requests.get(f"{self.sandbox.url}/sandbox/books", timeout=60).json()
        paid = [
            each for each in books["orders"] if each["out_trade_no"] == reference and each["transaction_id"]
        ]
        refunds = [each for each in books["refunds"] if each["out_trade_no"] == reference]
        returned = sum(each["amount"] for each in refunds if each["status"] == "SUCCESS")
        return sum(each["total"] for each in paid), returned

    def lose(self, refund: CreateRefund, what: str) -> CreateRefund:
        self.plan(what, "refund")
        return refund

    def lose_call(self, operation: str, what: str, reference: str) -> None:
        assert operation == "cancel", "WeChat Pay captures at once"
        self.plan(what, "close")

    def open_page(self, payment: ChannelPayment) -> None:
        """WeChat Pay knows the payment from its creation on."""

    def pay_late(self, reference: str) -> None:
        """The customer was entering the password while the order was closed."""
        self.control("pay", out_trade_no=reference, force=True)

    def contradict_query(self, reference: str) -> None:
        fields = {"amount.total": 10_001}
        self.control("faults", mchid=None, kind="contradiction", operation="query", fields=fields)

    def settle_refunds(self) -> None:
        self.advance(REFUND_SECONDS)

    def pass_refund_pause(self) -> None:
        """Lets the pause pass at the sandbox and on the platform, which waits too before it sends the next refund."""
        self.advance(PAUSE_SECONDS)
        let_refund_pauses_pass(PAUSE_SECONDS)

    def publish_lists(self) -> None:
        """Moves the clock by two days: then the statements of all days until now exist."""
        self.advance(2 * 86_400)
        later = dt.datetime.now(dt.UTC) + dt.timedelta(days=2)
        self._monkeypatch.setattr(statements, "read_clock", lambda: later)

    def end_pages(self) -> None:
        """WeChat Pay can close every order."""

    def take_webhooks(self) -> list[WebhookRequest]:
        self.control("run-due", now=True)
        taken, self.webhooks = self.webhooks, []
        return taken

    def receive(self, _url: str, headers: Mapping[str, str], body: bytes) -> int:
        self.webhooks.append(WebhookRequest(body, dict(headers)))
        return 200

    def plan(self, loses: str, operation: str) -> None:
        self.control("faults", mchid=None, kind=f"lost_{loses}", operation=operation)

    def advance(self, seconds: float) -> None:
        self.control("clock", mchid=None, advance_seconds=seconds)

    def control(self, path: str, *, mchid: str | None = FIRST_MCHID, **values: Any) -> dict[str, Any]:
        """Sends a command to the sandbox."""
        fields = values if mchid is None or path == "run-due" else {"mchid": mchid, **values}
        answer = requests.post(f"{self.sandbox.url}/sandbox/{path}", json=fields, timeout=60)
        assert answer.ok, answer.text
        result: dict[str, Any] = answer.json()
        return result


def build_credentials(sandbox: WechatSandbox, mchid: str = FIRST_MCHID) -> dict[str, str]:
    identity = sandbox.identities[mchid]
    merchant = identity.merchant
    return {
        "mch_id": mchid,
        "app_id": merchant.appid,
        "api_v3_key": merchant.apiv3_key,
        "private_key": identity.private_key_pem,
        "certificate_serial_no": merchant.certificate_serial,
        "public_key_id": merchant.public_key_id,
        "public_key": format_public_key(sandbox.bank.platform.public_key_pair),
    }
