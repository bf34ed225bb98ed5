"""Alipay's payment methods in the conformance tests, over HTTP against Alipay's sandbox."""

import datetime as dt
from typing import Any

import pytest

from channels.alipay import statements, trades
from channels.alipay.channel import AlipayChannel
from channels.base import ChannelPayment, CreatePayment, CreateRefund, FormAction, WebhookRequest
from channels.registry import get_platform_account
from tests.channels.harness import let_refund_pauses_pass
from tests.support.alipay.bank import AlipayBank
from tests.support.channels import build_creation

STATEMENT_DAYS, PAUSE_SECONDS = 2, 4


class AlipayHarness:
    currency = "CNY"
    pays_at_once = False
    approves = False

    def __init__(self, bank: AlipayBank, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
        self.channel = AlipayChannel()
        self.account = get_platform_account("alipay", "test")
        self.bank, self.method = bank, method
        self._monkeypatch = monkeypatch

    def build_creation(self, *, loses: str = "", **changes: Any) -> CreatePayment:
        self._lose("create", loses)
        return build_creation(
            account=self.account, **{"currency": self.currency, "payment_method": self.method, **changes}
        )

    def build_api_fields(self, *, loses: str = "") -> dict[str, Any]:
        self._lose("create", loses)
        return {"channel": "alipay", "payment_method": self.method}

    def pay(self, payment: ChannelPayment) -> None:
        if isinstance(payment.next_action, FormAction):
            assert self.bank.post_page(payment.next_action).status_code == 200
        self.bank.pay(payment.reference)

    def read_amounts(self, reference: str) -> tuple[int, int]:
        trade = self.bank.find_trade(reference)
        if trade is None or not trade["paid_at"]:
            return 0, 0
        return trade["total_fen"], trade["refunded_fen"]

    def lose(self, refund: CreateRefund, what: str) -> CreateRefund:
        self._lose("refund", what)
        return refund

    def lose_call(self, operation: str, what: str, reference: str) -> None:
        assert operation == "cancel", "Alipay captures at once"
        self._lose("cancel", what)

    def open_page(self, payment: ChannelPayment) -> None:
        if isinstance(payment.next_action, FormAction):
            assert self.bank.post_page(payment.next_action).status_code == 200
        self.bank.open(payment.reference)

    def pay_late(self, reference: str) -> None:
        """Alipay accepts no money for a closed trade."""
        raise NotImplementedError

    def contradict_query(self, reference: str) -> None:
        self.bank.fault("query", "contradict", fields={"total_amount": "100.01"})

    def settle_refunds(self) -> None:
        """Alipay settles refunds at once."""

    def pass_refund_pause(self) -> None:
        """The platform keeps Alipay's pause. The sandbox requires none: its error is not documented."""
        let_refund_pauses_pass(PAUSE_SECONDS)

    def publish_lists(self) -> None:
        """A statement is made on the next day."""
        self.bank.advance(STATEMENT_DAYS * 86_400)
        later = dt.datetime.now(dt.UTC) + dt.timedelta(days=STATEMENT_DAYS)
        self._monkeypatch.setattr(statements, "_read_now", lambda: later)

    def end_pages(self) -> None:
        self._monkeypatch.setattr(trades, "CLOCK_MARGIN", dt.timedelta(days=-1))

    def take_webhooks(self) -> list[WebhookRequest]:
        return self.bank.take_notices()

    def _lose(self, operation: str, what: str) -> None:
        if what:
            self.bank.fault(operation, "reset" if what == "request" else "reset_after")
