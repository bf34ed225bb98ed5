"""PayPal in the conformance tests, over HTTP against a fake of PayPal."""

from typing import Any

from channels.base import ChannelPayment, CreatePayment, CreateRefund, RedirectAction, WebhookRequest
from channels.paypal.channel import PayPalChannel
from channels.registry import get_platform_account
from common.money import EXPONENTS
from tests.support.channels import build_creation
from tests.support.paypal.fake import FakePayPal, Fault

LIST_SECONDS = 3 * 3600 + 60


class PayPalHarness:
    currency = "USD"
    pays_at_once = False
    approves = True

    def __init__(self, fake: FakePayPal) -> None:
        self.channel = PayPalChannel()
        self.account = get_platform_account("paypal", "test")
        self.fake = fake

    def build_creation(self, *, loses: str = "", **changes: Any) -> CreatePayment:
        self._lose("POST /v2/checkout/orders", loses)
        return build_creation(account=self.account, **changes)

    def build_api_fields(self, *, loses: str = "") -> dict[str, Any]:
        self._lose("POST /v2/checkout/orders", loses)
        return {"channel": "paypal"}

    def pay(self, payment: ChannelPayment) -> None:
        """The payer follows the redirect and approves; the money moves when the platform completes the payment."""
        assert isinstance(payment.next_action, RedirectAction)
        self.fake.account.approve(payment.next_action.url.rpartition("=")[2])

    def read_amounts(self, reference: str) -> tuple[int, int]:
        captured, refunded = self.fake.get_amounts(reference)
        minor_units = 10 ** EXPONENTS[self.currency]
        return int(captured * minor_units), int(refunded * minor_units)

    def lose(self, refund: CreateRefund, what: str) -> CreateRefund:
        self._lose("POST /v2/payments/captures/.*/refund", what)
        return refund

    def lose_call(self, operation: str, what: str, reference: str) -> None:
        """No call ends an unpaid order."""
        paths = {
            "complete": "/v2/checkout/orders/.*/(capture|authorize)",
            "capture": ".*/authorizations/.*/capture",
        }
        if operation != "cancel":
            self._lose(f"POST {paths[operation]}", what)

    def open_page(self, payment: ChannelPayment) -> None:
        """PayPal knows the payment from its creation on."""

    def pay_late(self, reference: str) -> None:
        """An approval that is not completed lapses."""
        raise NotImplementedError

    def contradict_query(self, reference: str) -> None:
        """The fake's answers always agree with its webhooks."""
        raise NotImplementedError

    def settle_refunds(self) -> None:
        """PayPal settles refunds at once."""

    def pass_refund_pause(self) -> None:
        """PayPal requires no pause."""

    def publish_lists(self) -> None:
        """PayPal lists a transaction up to three hours later."""
        self.fake.advance_clock(LIST_SECONDS)

    def end_pages(self) -> None:
        """An approval that is not completed moves no money."""

    def take_webhooks(self) -> list[WebhookRequest]:
        return self.fake.take_webhooks()

    def _lose(self, request: str, what: str) -> None:
        if what:
            self.fake.plan_fault(Fault.LOSE_REQUEST if what == "request" else Fault.LOSE_ANSWER, request)
