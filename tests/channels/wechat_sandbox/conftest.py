import json
import time
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from channels.wechat.sandbox import clock, operations, reading
from channels.wechat.sandbox.faults import Fault, FaultKind
from channels.wechat.sandbox.schedule import run_due
from tests.support.wechat_sandbox import FIRST_MCHID, WechatSandbox, wechat_sandbox


class Shop:
    """Receives the callbacks of all merchants. `status` is its answer, or an exception that it raises."""

    def __init__(self) -> None:
        self.received: list[tuple[str, dict[str, str], bytes]] = []
        self.status: int | BaseException = 200

    def receive(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        self.received.append((url, dict(headers), body))
        if isinstance(self.status, BaseException):
            raise self.status
        return self.status


class Scene:
    """A sandbox, its shop, and short methods for the steps of tests."""

    def __init__(self, sandbox: WechatSandbox, shop: Shop) -> None:
        self.sandbox = sandbox
        self.bank = sandbox.bank
        self.shop = shop
        self.sdk = sandbox.sdk()
        self.merchant = sandbox.identities[FIRST_MCHID].merchant

    def prepay(
        self, number: str = "order-0001", total: int = 1000, **values: Any
    ) -> tuple[int, dict[str, Any]]:
        answer = self.sdk.pay(
            description=values.pop("description", "茶"),
            out_trade_no=number,
            amount={"total": total},
            **values,
        )
        return parsed(answer)

    def paid(self, number: str = "order-0001", total: int = 1000) -> str:
        """Creates an order, pays it and returns its transaction_id."""
        assert self.prepay(number, total)[0] == 200
        return operations.pay(self.bank, FIRST_MCHID, number)

    def query(self, number: str = "order-0001") -> tuple[int, dict[str, Any]]:
        return parsed(self.sdk.query(out_trade_no=number))

    def refund(
        self,
        number: str = "refund-1",
        order: str = "order-0001",
        amount: int = 100,
        total: int = 1000,
        **values: Any,
    ) -> tuple[int, dict[str, Any]]:
        money = {"refund": amount, "total": total, "currency": "CNY"}
        return parsed(self.sdk.refund(out_refund_no=number, out_trade_no=order, amount=money, **values))

    def plan(self, kind: FaultKind, **values: Any) -> None:
        self.bank.faults.plan(Fault(kind, **values))

    def run(self, seconds: float = 0) -> None:
        """Moves the clock and runs all due work."""
        self.bank.advance_clock(seconds)
        run_due(self.bank)

    def notices(self) -> list[dict[str, Any] | None]:
        """Returns the callbacks as the SDK reads them: None where it refuses one."""
        return [self.sdk.callback(headers, body) for _url, headers, body in self.shop.received]


def parsed(answer: tuple[int, Any]) -> tuple[int, dict[str, Any]]:
    status, body = answer
    return status, json.loads(body) if body else {}


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """A sandbox whose clock is stopped; tests move it forward."""
    now = time.time()
    monkeypatch.setattr(clock, "time", SimpleNamespace(time=lambda: now))
    shop = Shop()
    with wechat_sandbox(send_callback=shop.receive) as sandbox:
        yield Scene(sandbox, shop)
        assert reading.find_violations(reading.read_books(sandbox.bank.books)) == []
