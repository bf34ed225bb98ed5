"""Each channel with its customers and its line in the tests' hands."""

import datetime as dt
import itertools
import secrets
from dataclasses import replace
from typing import Any, Protocol

from channels.base import (
    Channel,
    ChannelPayment,
    CreatePayment,
    CreateRefund,
    PaymentRef,
    PaymentState,
    Reported,
)
from channels.simulator.channel import SimulatorChannel
from channels.simulator.models import LedgerEntry, SimulatedPayment
from channels.stripe.channel import StripeChannel
from tests.channels.voucher.channel import VoucherChannel
from tests.support import bank
from tests.support.stripe.fake import VISA, FakeStripe, Fault

_numbers = itertools.count(1)


class Rig(Protocol):
    channel: Channel
    # Whether the payment is paid (or authorized) in its creation, without a page.
    pays_at_once: bool

    def creation(self, *, loses: str = "", **changes: Any) -> CreatePayment:
        """`loses`: "request" or "answer" of this creation, once."""

    def pay(self, payment: ChannelPayment) -> None: ...

    def money(self, reference: str) -> tuple[int, int]:
        """What the channel's own books say was taken and given back."""

    def losing(self, refund: CreateRefund, what: str) -> CreateRefund: ...


def creation(**changes: Any) -> CreatePayment:
    reference = f"PAY-{secrets.token_hex(6)}"
    return replace(
        CreatePayment(
            key=f"create-{reference}",
            reference=reference,
            environment="test",
            amount_minor=10_000,
            currency="USD",
            subject="Coffee",
            description="",
            return_url="https://shop.example/thanks",
            manual_capture=False,
            expires_in_seconds=1800,
            timeout_seconds=10.0,
            started_at=dt.datetime.now(dt.UTC),
        ),
        **changes,
    )


def ref_of(request: CreatePayment, trade_no: str = "") -> PaymentRef:
    return PaymentRef(request.reference, request.environment, 10.0, trade_no, request.started_at)


def refund_of(request: CreatePayment, payment: ChannelPayment, amount_minor: int) -> CreateRefund:
    number = next(_numbers)
    return CreateRefund(
        key=f"refund-{number}",
        reference=f"REF-{number}-{secrets.token_hex(3)}",
        payment=ref_of(request, payment.channel_trade_no),
        amount_minor=amount_minor,
        currency=request.currency,
        reason="",
    )


def opened(rig: Rig, request: CreatePayment) -> ChannelPayment:
    answer = rig.channel.create_payment(request)
    assert isinstance(answer, Reported), answer
    return answer.value


def paid(rig: Rig, request: CreatePayment) -> ChannelPayment:
    """Paid, or authorized with `manual_capture`."""
    payment = opened(rig, request)
    if not rig.pays_at_once:
        rig.pay(payment)
    answer = rig.channel.find_payment(ref_of(request, payment.channel_trade_no))
    assert isinstance(answer, Reported), answer
    assert answer.value.state in (PaymentState.PAID, PaymentState.AUTHORIZED)
    return answer.value


class SimulatorRig:
    pays_at_once = False

    def __init__(self) -> None:
        self.channel = SimulatorChannel()

    def creation(self, *, loses: str = "", **changes: Any) -> CreatePayment:
        script = {"": "", "request": "timeout_before", "answer": "timeout_after"}[loses]
        return creation(metadata={"simulate": script} if script else {}, **changes)

    def pay(self, payment: ChannelPayment) -> None:
        token = SimulatedPayment.objects.get(pk=payment.reference).token
        bank.pay({"payment_url": f"/{token}"})

    def money(self, reference: str) -> tuple[int, int]:
        rows = list(LedgerEntry.objects.filter(reference=reference).values_list("kind", "amount"))
        taken = sum(amount for kind, amount in rows if kind in ("charge", "capture"))
        return taken, sum(amount for kind, amount in rows if kind == "refund")

    def losing(self, refund: CreateRefund, what: str) -> CreateRefund:
        script = {"request": "timeout_before", "answer": "timeout_after"}[what]
        return replace(refund, metadata={"simulate": f"refund:{script}"})


class StripeRig:
    def __init__(self, fake: FakeStripe, *, saved_card: bool) -> None:
        self.channel = StripeChannel()
        self.fake, self.pays_at_once = fake, saved_card
        self._create = "POST /v1/payment_intents" if saved_card else "POST /v1/checkout/sessions"

    def creation(self, *, loses: str = "", **changes: Any) -> CreatePayment:
        if loses:
            self._plan(loses, self._create)
        metadata = {"stripe_payment_method": VISA} if self.pays_at_once else {}
        return creation(metadata=metadata, **changes)

    def pay(self, payment: ChannelPayment) -> None:
        assert self.fake.pay(payment.channel_trade_no)

    def money(self, reference: str) -> tuple[int, int]:
        return self.fake.effects(reference)

    def losing(self, refund: CreateRefund, what: str) -> CreateRefund:
        self._plan(what, "POST /v1/refunds")
        return refund

    def _plan(self, what: str, request: str) -> None:
        self.fake.plan(Fault.LOSE_REQUEST if what == "request" else Fault.LOSE_ANSWER, request)


class VoucherRig:
    pays_at_once = False

    def __init__(self) -> None:
        self.channel = VoucherChannel()
        self._manual: set[str] = set()

    def creation(self, *, loses: str = "", **changes: Any) -> CreatePayment:
        request = creation(**changes)
        self.channel.bank.losses += [loses] if loses else []
        self._manual |= {request.reference} if request.manual_capture else set()
        return request

    def pay(self, payment: ChannelPayment) -> None:
        held = payment.reference in self._manual
        self.channel.bank.payments[payment.reference] = replace(
            payment,
            state=PaymentState.AUTHORIZED if held else PaymentState.PAID,
            captured_minor=0 if held else payment.amount_minor,
        )

    def money(self, reference: str) -> tuple[int, int]:
        given = [r.amount_minor for of, r in self.channel.bank.refunds.values() if of == reference]
        found = self.channel.bank.payments.get(reference)
        return (found.captured_minor if found else 0), sum(given)

    def losing(self, refund: CreateRefund, what: str) -> CreateRefund:
        self.channel.bank.losses.append(what)
        return refund
