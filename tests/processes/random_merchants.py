"""Merchants that pay, capture, cancel and refund at random over every channel, while their customers pay and their
providers lose, delay, forge and repeat what they send."""

import random
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

from tests.support.http_shop import HttpShop, NoAnswer, Reply, Write, payment

AMOUNT = 10_000
FAULTS = (
    "",
    "timeout_after",
    "timeout_before",
    "error_5xx",
    "reset_after",
    "slow:0.8",
    "slow_start:0.8",
    "timeout_after*always,query:timeout_before*always",
    "timeout_after,query:timeout_before*2",
    "refund:timeout_after",
    "refund:reset",
    "cancel:timeout_after",
    "cancel:timeout_before",
    "capture:reset_after",
    "complete:timeout_after",
    "complete:reset",
    "refund_declined",
    "refund_pending:1",
    "duplicate_webhook",
)
ENDINGS = ("auto_pay", "auto_pay", "auto_pay", "authorize", "decline", "no_webhook")
CHANNELS = ("simulator", "simulator", "wechat", "alipay")
METHODS: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "wechat": (
        {"payment_method": "wechat_native"},
        {"payment_method": "wechat_h5", "client_ip": "14.23.150.211"},
        {
            "payment_method": "wechat_jsapi",
            "payment_method_options": {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"},
        },
    ),
    "alipay": (
        {"payment_method": "alipay_qr"},
        {"payment_method": "alipay_page"},
        {"payment_method": "alipay_wap"},
    ),
}
_SOON = {"seconds": 0.8}
# Without contradicted amounts: such payments need review (tests/channels/test_journeys.py has them).
SANDBOX_FAULTS: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "wechat": (
        *({"kind": kind, "operation": "prepay"} for kind in ("lost_request", "lost_answer", "bad_signature")),
        *({"kind": kind, "operation": "refund"} for kind in ("lost_request", "reset_after", "bad_gateway")),
        *({"kind": kind, "operation": "close"} for kind in ("lost_request", "lost_answer", "no_signature")),
        *({"kind": kind, "operation": "query"} for kind in ("lost_answer", "system_error")),
        *({"kind": kind, **_SOON} for kind in ("slow", "slow_start")),
        *({"kind": f"callback_{flaw}"} for flaw in ("dropped", "duplicated", "held", "forged", "stale")),
        *({"kind": f"callback_{flaw}"} for flaw in ("probed", "tampered")),
        {"kind": "callback_late", "seconds": 2},
        {"kind": "refund_late", "seconds": 3},
        {"kind": "refund_closed"},
    ),
    "alipay": (
        *({"kind": kind, "operation": "create"} for kind in ("reset", "reset_after", "bad_signature")),
        *({"kind": kind, "operation": "refund"} for kind in ("reset", "reset_after", "garbage")),
        *({"kind": kind, "operation": "cancel"} for kind in ("reset", "reset_after", "no_signature")),
        *({"kind": kind, "operation": "query"} for kind in ("unavailable_after", "system_error")),
        *({"kind": kind, "operation": "create", **_SOON} for kind in ("slow", "slow_start")),
        *({"kind": f"{flaw}_webhook", "operation": "notify"} for flaw in ("no", "duplicate", "out_of_order")),
        *({"kind": f"{flaw}_webhook", "operation": "notify"} for flaw in ("forged", "tampered")),
        {"kind": "late_webhook", "operation": "notify", "seconds": 2},
        {"kind": "refund_pending", "operation": "refund", "seconds": 1},
        {"kind": "refund_fails_later", "operation": "refund", "seconds": 1},
    ),
}
FINAL = (200, 402, 404, 409, 422)


class Merchant(threading.Thread):
    """A program that sends random requests, repeats those without an answer, and never waits for long."""

    def __init__(self, shop: HttpShop, seed: str, end: threading.Event) -> None:
        super().__init__(name=seed)
        self.shop, self.dice, self.end = shop, random.Random(seed), end
        self.writes: list[Write] = []
        self.statuses: Counter[int] = Counter()
        self.silent: set[str] = set()  # payments about which the bank answers no question, ever
        self.customers_paid: Counter[str] = Counter()
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            while not self.end.is_set():
                channel = self.dice.choice(CHANNELS)
                if channel == "simulator":
                    self._pay_at_simulator()
                else:
                    self._pay_at_sandbox(channel)
        except Exception as error:  # noqa: BLE001 - raised in the test's own thread
            self.error = error

    def _pay_at_simulator(self) -> None:
        ending, fault = self.dice.choice(ENDINGS), self.dice.choice(FAULTS)
        manual = {"capture_method": "manual"} if ending == "authorize" else {}
        script = ",".join(filter(None, (ending, fault)))
        method = self.dice.choice(("simulator", "simulator", "simulator_approval"))
        reply = self._send(payment(script, amount=AMOUNT, payment_method=method, **manual))
        if reply is None or reply.status not in (200, 202):
            return
        number = reply.data["payment_no"]
        if "query:timeout_before*always" in script:
            self.silent.add(number)
        for _ in range(self.dice.randrange(3)):
            kind = self.dice.choice(("refund", "refund", "cancel", "capture"))
            self._send(self._refund(number) if kind == "refund" else _change(number, kind))

    def _pay_at_sandbox(self, channel: str) -> None:
        """Refunds at most once: WeChat Pay requires a minute between two refunds of one payment."""
        self.shop.customers.try_to_plan(channel, self.dice.choice(SANDBOX_FAULTS[channel]))
        fields = self.dice.choice(METHODS[channel])
        reply = self._send(payment(amount=AMOUNT, channel=channel, currency="CNY", **fields))
        if reply is None or reply.status not in (200, 202):
            return
        opened = reply.data
        steps = ["pay", "pay", "cancel", "refund", "sync", "pay late"]
        for _ in range(self.dice.randrange(5)):
            step = self.dice.choice(steps)
            if step == "refund" and channel == "wechat":
                steps.remove("refund")
            self._take_step(channel, opened, step)

    def _take_step(self, channel: str, opened: dict[str, Any], step: str) -> None:
        number, customers = opened["payment_no"], self.shop.customers
        match step:
            case "pay":
                is_paid = customers.try_to_pay(channel, number, opened["next_action"])
                self.customers_paid[channel] += is_paid
            case "pay late":
                if channel == "wechat":
                    self.customers_paid["wechat late"] += customers.try_to_pay_late(number)
            case "refund":
                self._send(self._refund(number))
            case _:
                self._send(_change(number, step))

    def _refund(self, number: str) -> Write:
        return Write("/api/v1/refunds", {"payment_no": number, "amount": self.dice.choice((2_000, 6_000))})

    def _send(self, write: Write) -> Reply | None:
        self.writes.append(write)
        for _attempt in range(1 + self.dice.randrange(3)):
            try:
                reply = self.shop.send(write)
            except NoAnswer:
                continue
            self.statuses[reply.status] += 1
            assert reply.status in (*FINAL, 202, 503), str(reply)
            return reply
        return None


def _change(number: str, kind: str) -> Write:
    return Write(f"/api/v1/payments/{number}/{kind}", {"amount": 4_000} if kind == "capture" else {})
