"""A harness for each channel, for the conformance tests."""

import datetime as dt
import itertools
import json
import secrets
from dataclasses import replace
from typing import Any, Protocol

from django.db.models import F

from channels.base import (
    Channel,
    ChannelAccount,
    ChannelPayment,
    CompletePayment,
    CreatePayment,
    CreateRefund,
    PaymentRef,
    PaymentState,
    Reported,
    WebhookRequest,
)
from channels.registry import get_platform_account
from channels.simulator.channel import SimulatorChannel
from channels.simulator.models import LedgerEntry, Notification, SimulatedPayment
from channels.stripe.channel import StripeChannel
from gateway.models import Refund
from sagas.models import SagaStep
from tests.channels.voucher.channel import SIGNATURE_HEADER, VoucherChannel
from tests.channels.voucher.channel import sign as sign_voucher
from tests.support import bank
from tests.support.channels import TEST_ACCOUNT, build_creation
from tests.support.stripe.events import sign
from tests.support.stripe.fake import VISA, FakeStripe, Fault

_numbers = itertools.count(1)


class ChannelHarness(Protocol):
    """One payment method of one channel: its customers, its clock, its records, its webhooks, and calls that are lost.

    A harness of a channel whose clock is real leaves `pass_refund_pause`, `publish_lists` and `end_pages` empty.
    """

    channel: Channel
    account: ChannelAccount
    currency: str
    # The creation pays (or authorizes) at once, without a page.
    pays_at_once: bool
    # The customer only approves, and our call then moves the money: `PaymentState.APPROVED`.
    approves: bool

    def build_creation(self, *, loses: str = "", **changes: Any) -> CreatePayment:
        """Builds a creation. `loses`: the part of the call that is lost once, "request" or "answer"."""

    def build_api_fields(self, *, loses: str = "") -> dict[str, Any]:
        """Returns the fields of `POST /payments` that choose this channel and method. `loses` as above."""

    def pay(self, payment: ChannelPayment) -> None:
        """The customer takes the payment's next action, and pays or approves."""

    def read_amounts(self, reference: str) -> tuple[int, int]:
        """Returns what was captured and refunded, by the channel's own records."""

    def lose(self, refund: CreateRefund, what: str) -> CreateRefund:
        """Loses the "request" or the "answer" of the refund, once."""

    def lose_call(self, operation: str, what: str, reference: str) -> None:
        """Loses the "request" or the "answer" of the payment's next "cancel", "capture" or "complete", once."""

    def open_page(self, payment: ChannelPayment) -> None:
        """The customer takes the payment's next action and does not pay yet: from now on a query finds it."""

    def pay_late(self, reference: str) -> None:
        """Money arrives for a payment that is closed. Only where the method `takes_late_money`."""

    def contradict_query(self, reference: str) -> None:
        """The next query reports another amount than the webhooks. Only where the method `can_contradict`."""

    def settle_refunds(self) -> None:
        """The channel finishes the refunds that it has accepted."""

    def pass_refund_pause(self) -> None:
        """Lets the time pass that the channel requires between two refunds of one payment."""

    def publish_lists(self) -> None:
        """Lets the time pass until the channel lists everything so far, such as in a daily statement."""

    def end_pages(self) -> None:
        """Lets the time pass in which customers can still pay on a page that the channel cannot close."""

    def take_webhooks(self) -> list[WebhookRequest]:
        """Returns the webhooks that the channel has sent since the last time, oldest first."""


class RepeatedCaptureHarness(ChannelHarness, Protocol):
    """The harness of a payment method that captures in parts."""

    # The `payment_method_options` that request it.
    repeated_capture_options: dict[str, str]


def let_refund_pauses_pass(seconds: int) -> None:
    """For a channel that wants a pause between the refunds of a payment: the platform waits before it sends the next
    one."""
    pause = dt.timedelta(seconds=seconds)
    Refund.objects.update(created_at=F("created_at") - pause, call_at=F("call_at") - pause)
    # A saga that waits has the time of its call in the result of its first step.
    for step in SagaStep.objects.filter(step_name="ReserveRefund", result__has_key="call_at"):
        call_at = dt.datetime.fromisoformat(step.result["call_at"]) - pause
        SagaStep.objects.filter(id=step.id).update(result={"call_at": call_at.isoformat()})


def build_ref(request: CreatePayment, trade_no: str = "") -> PaymentRef:
    return PaymentRef(request.reference, request.account, 10.0, trade_no, request.started_at)


def build_refund(request: CreatePayment, payment: ChannelPayment, amount_minor: int) -> CreateRefund:
    number = next(_numbers)
    return CreateRefund(
        key=f"refund-{number}",
        reference=f"REF-{number}-{secrets.token_hex(3)}",
        payment=build_ref(request, payment.channel_trade_no),
        amount_minor=amount_minor,
        currency=request.currency,
        reason="",
        payment_amount_minor=request.amount_minor,
    )


def create_open(harness: ChannelHarness, request: CreatePayment) -> ChannelPayment:
    answer = harness.channel.create_payment(request)
    assert isinstance(answer, Reported), answer
    return answer.value


def pay(harness: ChannelHarness, request: CreatePayment, payment: ChannelPayment) -> None:
    """The customer pays. If the customer only approves, the payment is completed."""
    if not harness.pays_at_once:
        harness.pay(payment)
    if harness.approves:
        answer = harness.channel.complete_payment(
            CompletePayment(
                key=f"complete-{request.reference}",
                payment=build_ref(request, payment.channel_trade_no),
                amount_minor=request.amount_minor,
                currency=request.currency,
                manual_capture=request.manual_capture,
            )
        )
        assert isinstance(answer, Reported), answer


def create_paid(harness: ChannelHarness, request: CreatePayment) -> ChannelPayment:
    """Creates a payment that is paid, or authorized with `manual_capture`."""
    payment = create_open(harness, request)
    pay(harness, request, payment)
    answer = harness.channel.find_payment(build_ref(request, payment.channel_trade_no))
    assert isinstance(answer, Reported), answer
    assert answer.value.state in (PaymentState.PAID, PaymentState.AUTHORIZED)
    return answer.value


class SimulatorHarness:
    currency = "USD"
    pays_at_once = False
    repeated_capture_options: dict[str, str] = {}

    def __init__(self, method: str = "simulator") -> None:
        self.channel = SimulatorChannel()
        self.account = TEST_ACCOUNT
        self.method, self.approves = method, method == "simulator_approval"
        self._sent: set[str] = set()

    def build_creation(self, *, loses: str = "", **changes: Any) -> CreatePayment:
        return build_creation(metadata=self._build_metadata(loses), payment_method=self.method, **changes)

    def build_api_fields(self, *, loses: str = "") -> dict[str, Any]:
        metadata = self._build_metadata(loses)
        return {"channel": "simulator", "payment_method": self.method, "metadata": metadata}

    def _build_metadata(self, loses: str) -> dict[str, str]:
        script = {"": "", "request": "timeout_before", "answer": "timeout_after"}[loses]
        return {"simulate": script} if script else {}

    def pay(self, payment: ChannelPayment) -> None:
        bank.pay({"payment_url": f"/{self._get_token(payment.reference)}"})

    def read_amounts(self, reference: str) -> tuple[int, int]:
        rows = list(LedgerEntry.objects.filter(reference=reference).values_list("kind", "amount"))
        taken = sum(amount for kind, amount in rows if kind in ("charge", "capture"))
        return taken, sum(amount for kind, amount in rows if kind == "refund")

    def lose(self, refund: CreateRefund, what: str) -> CreateRefund:
        script = {"request": "timeout_before", "answer": "timeout_after"}[what]
        return replace(refund, metadata={"simulate": f"refund:{script}"})

    def lose_call(self, operation: str, what: str, reference: str) -> None:
        script = {"request": "timeout_before", "answer": "timeout_after"}[what]
        SimulatedPayment.objects.filter(pk=reference).update(simulate=f"{operation}:{script}")

    def open_page(self, payment: ChannelPayment) -> None:
        """The channel knows the payment from its creation on."""

    def pay_late(self, reference: str) -> None:
        bank.pay_closed_payment({"payment_no": reference, "payment_url": f"/{self._get_token(reference)}"})

    def contradict_query(self, reference: str) -> None:
        """The integrity checks compare the simulator's own records, so that they cannot be contradicted."""
        raise NotImplementedError

    def _get_token(self, reference: str) -> str:
        return SimulatedPayment.objects.get(pk=reference).token

    def settle_refunds(self) -> None:
        """The channel settles refunds at once."""

    def pass_refund_pause(self) -> None:
        """The channel requires no pause."""

    def publish_lists(self) -> None:
        """The channel lists everything at once."""

    def end_pages(self) -> None:
        """The channel can close every page."""

    def take_webhooks(self) -> list[WebhookRequest]:
        due = Notification.objects.exclude(pk__in=self._sent).order_by("created_at")
        payloads = {row.pk: row.payload for row in due}
        self._sent |= set(payloads)
        return [bank.build_webhook_request(payload) for payload in payloads.values()]


class StripeHarness:
    currency = "USD"
    approves = False
    repeated_capture_options = {"request_multicapture": "if_available"}

    def __init__(self, fake: FakeStripe, *, saved_card: bool) -> None:
        self.channel = StripeChannel()
        self.account = get_platform_account("stripe", "test")
        self.fake, self.pays_at_once = fake, saved_card
        self._create = "POST /v1/payment_intents" if saved_card else "POST /v1/checkout/sessions"

    def build_creation(self, *, loses: str = "", **changes: Any) -> CreatePayment:
        if loses:
            self._plan(loses, self._create)
        metadata = {"stripe_payment_method": VISA} if self.pays_at_once else {}
        return build_creation(account=self.account, metadata=metadata, **changes)

    def build_api_fields(self, *, loses: str = "") -> dict[str, Any]:
        if loses:
            self._plan(loses, self._create)
        return {"channel": "stripe", "metadata": {"stripe_payment_method": VISA} if self.pays_at_once else {}}

    def pay(self, payment: ChannelPayment) -> None:
        assert self.fake.pay_session(payment.channel_trade_no)

    def read_amounts(self, reference: str) -> tuple[int, int]:
        return self.fake.get_amounts(reference)

    def lose(self, refund: CreateRefund, what: str) -> CreateRefund:
        self._plan(what, "POST /v1/refunds")
        return refund

    def lose_call(self, operation: str, what: str, reference: str) -> None:
        self._plan(what, f"POST .*/(expire|{operation})")

    def open_page(self, payment: ChannelPayment) -> None:
        """The channel knows the payment from its creation on."""

    def pay_late(self, reference: str) -> None:
        """tests/channels/test_stripe_late_payments.py has these journeys."""
        raise NotImplementedError

    def contradict_query(self, reference: str) -> None:
        """The fake's answers always agree with its webhooks."""
        raise NotImplementedError

    def settle_refunds(self) -> None:
        """The channel settles refunds at once."""

    def pass_refund_pause(self) -> None:
        """The channel requires no pause."""

    def publish_lists(self) -> None:
        """The channel lists everything at once."""

    def end_pages(self) -> None:
        """The channel can close every page."""

    def take_webhooks(self) -> list[WebhookRequest]:
        bodies = [json.dumps(event, indent=2).encode() for event in self.fake.take_events()]
        return [WebhookRequest(body, {"Stripe-Signature": sign(body)}) for body in bodies]

    def _plan(self, what: str, request: str) -> None:
        self.fake.plan_fault(Fault.LOSE_REQUEST if what == "request" else Fault.LOSE_ANSWER, request)


class VoucherHarness:
    currency = "USD"
    pays_at_once = False
    approves = False

    def __init__(self, channel: VoucherChannel) -> None:
        self.channel = channel
        self.account = TEST_ACCOUNT
        self._reported: set[str] = set()

    def build_creation(self, *, loses: str = "", **changes: Any) -> CreatePayment:
        request = build_creation(**changes)
        self.channel.bank.losses += [loses] if loses else []
        return request

    def build_api_fields(self, *, loses: str = "") -> dict[str, Any]:
        self.channel.bank.losses += [loses] if loses else []
        return {"channel": "voucher"}

    def pay(self, payment: ChannelPayment) -> None:
        held = payment.reference in self.channel.bank.manual
        self.channel.bank.payments[payment.reference] = replace(
            payment,
            state=PaymentState.AUTHORIZED if held else PaymentState.PAID,
            captured_minor=0 if held else payment.amount_minor,
        )

    def read_amounts(self, reference: str) -> tuple[int, int]:
        given = [r.amount_minor for of, r in self.channel.bank.refunds.values() if of == reference]
        found = self.channel.bank.payments.get(reference)
        return (found.captured_minor if found else 0), sum(given)

    def lose(self, refund: CreateRefund, what: str) -> CreateRefund:
        self.channel.bank.losses.append(what)
        return refund

    def lose_call(self, operation: str, what: str, reference: str) -> None:
        self.channel.bank.losses.append(what)

    def open_page(self, payment: ChannelPayment) -> None:
        """The channel knows the payment from its creation on."""

    def pay_late(self, reference: str) -> None:
        self.pay(replace(self.channel.bank.payments[reference], state=PaymentState.OPEN))

    def contradict_query(self, reference: str) -> None:
        found = self.channel.bank.payments[reference]
        self.channel.bank.payments[reference] = replace(found, amount_minor=10_001)

    def settle_refunds(self) -> None:
        """The channel settles refunds at once."""

    def pass_refund_pause(self) -> None:
        """The channel requires no pause."""

    def publish_lists(self) -> None:
        """The channel lists everything at once."""

    def end_pages(self) -> None:
        """The channel can close every page."""

    def take_webhooks(self) -> list[WebhookRequest]:
        paid = [each for each in self.channel.bank.payments.values() if each.state == PaymentState.PAID]
        bodies = [
            json.dumps(
                {"id": f"evt_{each.reference}", "type": "voucher.redeemed", "reference": each.reference}
            )
            for each in paid
            if each.reference not in self._reported
        ]
        self._reported |= {each.reference for each in paid}
        return [
            WebhookRequest(body.encode(), {SIGNATURE_HEADER: sign_voucher(body.encode())}) for body in bodies
        ]
