"""A third channel, as small as one can be: vouchers that a shop's till accepts. Proves docs/CHANNELS.md.

What the bank behind it knows is in memory, since the "bank" is this test process.
"""

import datetime as dt
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from channels.base import (
    CancelPayment,
    CapturePayment,
    ChannelEvent,
    ChannelPayment,
    ChannelRefund,
    CreatePayment,
    CreateRefund,
    Declined,
    Listed,
    NotFoundAtChannel,
    PaymentRef,
    PaymentResult,
    PaymentState,
    RefundRef,
    RefundResult,
    RefundState,
    Reported,
    UnknownOutcome,
    WebhookRefused,
    Window,
)

SECRET = b"voucher-secret"
A = TypeVar("A", PaymentResult, RefundResult)


@dataclass
class Bank:
    payments: dict[str, ChannelPayment] = field(default_factory=dict)
    refunds: dict[str, tuple[str, ChannelRefund]] = field(default_factory=dict)
    made: dict[str, dt.datetime] = field(default_factory=dict)
    loses: list[str] = field(default_factory=list)  # "request" or "answer", for the next writes


class VoucherChannel:
    name = "voucher"

    def __init__(self) -> None:
        self.bank = Bank()

    def create_payment(self, request: CreatePayment) -> PaymentResult:
        def create() -> PaymentResult:
            state = PaymentState.OPEN
            new = ChannelPayment(
                reference=request.reference,
                channel_trade_no=f"v-{request.reference}",
                state=state,
                amount_minor=request.amount_minor,
                currency=request.currency,
                payment_url=f"https://voucher.example/{request.reference}",
            )
            self.bank.made.setdefault(request.reference, dt.datetime.now(dt.UTC))
            return Reported(self.bank.payments.setdefault(request.reference, new))

        return self._transmit(create)

    def find_payment(self, payment: PaymentRef) -> PaymentResult:
        found = self.bank.payments.get(payment.reference)
        return Reported(found) if found else NotFoundAtChannel()

    def cancel_payment(self, request: CancelPayment) -> PaymentResult:
        return self._change(
            request.payment, (PaymentState.OPEN, PaymentState.AUTHORIZED), state=PaymentState.CANCELLED
        )

    def capture_payment(self, request: CapturePayment) -> PaymentResult:
        changes = {"state": PaymentState.PAID, "captured_minor": request.amount_minor}
        return self._change(request.payment, (PaymentState.AUTHORIZED,), **changes)

    def _change(self, ref: PaymentRef, origins: tuple[PaymentState, ...], **changes: object) -> PaymentResult:
        def change() -> PaymentResult:
            found = self.bank.payments.get(ref.reference)
            if found is None:
                return NotFoundAtChannel()
            if found.state in origins:
                self.bank.payments[ref.reference] = replace(found, **changes)
            return Reported(self.bank.payments[ref.reference])

        return self._transmit(change)

    def refund_payment(self, request: CreateRefund) -> RefundResult:
        def refund() -> RefundResult:
            if request.reference in self.bank.refunds:
                return Reported(self.bank.refunds[request.reference][1])
            paid = self.bank.payments.get(request.payment.reference)
            given = sum(
                r.amount_minor for ref, r in self.bank.refunds.values() if paid and ref == paid.reference
            )
            if paid is None or given + request.amount_minor > paid.captured_minor:
                return Declined("nothing_to_refund", "more than was paid")
            made = ChannelRefund(
                reference=request.reference,
                channel_refund_no=f"r-{request.reference}",
                state=RefundState.SUCCEEDED,
                amount_minor=request.amount_minor,
                currency=request.currency,
            )
            self.bank.refunds[request.reference] = (paid.reference, made)
            self.bank.made[request.reference] = dt.datetime.now(dt.UTC)
            return Reported(made)

        return self._transmit(refund)

    def find_refund(self, refund: RefundRef) -> RefundResult:
        found = self.bank.refunds.get(refund.reference)
        return Reported(found[1]) if found else NotFoundAtChannel()

    def list_payments(self, window: Window) -> Iterator[Listed[ChannelPayment]]:
        for payment in self.bank.payments.values():
            if window.since <= self.bank.made[payment.reference] < window.until:
                yield Listed(payment, self.bank.made[payment.reference])

    def list_refunds(self, window: Window) -> Iterator[Listed[ChannelRefund]]:
        for payment, refund in self.bank.refunds.values():
            if window.since <= self.bank.made[refund.reference] < window.until:
                yield Listed(replace(refund, payment_reference=payment), self.bank.made[refund.reference])

    def parse_webhook(self, *, body: bytes, headers: Mapping[str, str]) -> ChannelEvent:
        signature = {name.lower(): value for name, value in headers.items()}.get("voucher-signature", "")
        if not hmac.compare_digest(signature.encode(errors="replace"), sign(body).encode()):
            raise WebhookRefused("wrong signature")
        event = json.loads(body)
        return ChannelEvent(event["id"], event["type"], self.bank.payments.get(event["reference"]))

    def _transmit(self, work: Callable[[], A]) -> A | UnknownOutcome:
        loses = self.bank.loses.pop(0) if self.bank.loses else ""
        if loses == "request":
            return UnknownOutcome("lost")
        answer = work()
        return UnknownOutcome("lost") if loses else answer


def sign(body: bytes) -> str:
    return hmac.new(SECRET, body, hashlib.sha256).hexdigest()
