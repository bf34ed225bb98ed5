"""The money that each channel has moved, read from its own records, in the order in which the test saw it."""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import requests

from channels.simulator.models import LedgerEntry, SimulatedDispute, SimulatedPayment
from tests.channels.alipay_harness import AlipayHarness
from tests.channels.harness import ChannelHarness, SimulatorHarness, StripeHarness
from tests.channels.paypal_harness import PayPalHarness
from tests.channels.wechat_harness import WechatHarness
from tests.support.alipay.account import SELLER_ID
from tests.support.paypal.disputes import get_capture_id, read_held
from tests.support.paypal.fake import FakePayPal
from tests.support.stripe.fake import FakeStripe


@dataclass(frozen=True, slots=True)
class Total:
    """The money that one object of a channel (a payment, a refund or a dispute) has moved so far."""

    kind: str
    key: str
    payment_no: str
    reference: str
    channel_no: str
    amount_minor: int
    currency: str


@dataclass(slots=True)
class Movement:
    """A change of a `Total`. `amount_minor`: by how much the account's money grew. `seen_at` moves back when a day
    passes."""

    number: int
    channel: str
    kind: str
    payment_no: str
    reference: str
    channel_no: str
    amount_minor: int
    currency: str
    seen_at: dt.datetime


REVERSALS = {"payment": "payment", "refund": "refund_reversal", "dispute": "dispute_reversal"}


@dataclass
class ChannelBook:
    """The records of one channel account."""

    channel: str
    read: Callable[[], Iterator[Total]]
    movements: list[Movement] = field(default_factory=list)
    _seen: dict[tuple[str, str], int] = field(default_factory=dict)

    def look(self) -> None:
        for total in self.read():
            place = total.kind, total.key
            change = total.amount_minor - self._seen.get(place, 0)
            if change == 0:
                continue
            self._seen[place] = total.amount_minor
            gained = change if total.kind == "payment" else -change
            self.movements.append(
                Movement(
                    len(self.movements),
                    self.channel,
                    total.kind if change > 0 else REVERSALS[total.kind],
                    total.payment_no,
                    total.reference,
                    total.channel_no,
                    gained,
                    total.currency,
                    dt.datetime.now(dt.UTC),
                )
            )


def build_reader(harness: ChannelHarness, known: set[str]) -> Callable[[], Iterator[Total]]:
    """Builds a function that reads the records of the `known` payments only: other tests have left records too."""
    match harness:
        case SimulatorHarness():
            return lambda: _read_simulator(known)
        case StripeHarness():
            return lambda: _read_stripe(harness.fake, known)
        case WechatHarness():
            return lambda: _read_wechat(harness, known)
        case AlipayHarness():
            return lambda: _read_alipay(harness, known)
        case PayPalHarness():
            return lambda: _read_paypal(harness.fake, known)
    raise TypeError(harness)


def _read_simulator(known: set[str]) -> Iterator[Total]:
    returned = set(
        LedgerEntry.objects.filter(reference__in=known, kind="refund_return").values_list(
            "refund_reference", flat=True
        )
    )
    for entry in LedgerEntry.objects.filter(reference__in=known).order_by("id"):
        if entry.kind in ("charge", "capture"):
            yield Total(
                "payment", entry.key, entry.reference, entry.reference, "", entry.amount, entry.currency
            )
        elif entry.kind == "refund":
            amount = 0 if entry.refund_reference in returned else entry.amount
            yield Total(
                "refund",
                entry.refund_reference,
                entry.reference,
                entry.refund_reference,
                "",
                amount,
                entry.currency,
            )
    for each in SimulatedDispute.objects.filter(payment_id__in=known).order_by("created_at"):
        amount = 0 if each.state == "won" else each.amount
        yield Total("dispute", each.pk, each.payment_id, "", each.pk, amount, each.currency)


def _read_stripe(fake: FakeStripe, known: set[str]) -> Iterator[Total]:
    account, of_intent = fake.account, dict[str, str]()
    for number, intent in list(account.intents.items()):
        payment_no = intent["metadata"].get("payment_platform_payment_no", "")
        if payment_no in known:
            of_intent[number] = payment_no
            currency = intent["currency"].upper()
            yield Total(
                "payment", number, payment_no, payment_no, number, intent["amount_received"], currency
            )
    for number, refund in list(account.refunds.items()):
        if refund["payment_intent"] in of_intent:
            amount = refund["amount"] if refund["status"] == "succeeded" else 0
            reference = refund["metadata"].get("payment_platform_refund_no", "")
            payment_no, currency = of_intent[refund["payment_intent"]], refund["currency"].upper()
            yield Total("refund", number, payment_no, reference, number, amount, currency)
    for number, dispute in list(account.disputes.items()):
        if dispute["payment_intent"] in of_intent:
            amount = 0 if dispute["status"] == "won" else dispute["amount"]
            payment_no, currency = of_intent[dispute["payment_intent"]], dispute["currency"].upper()
            yield Total("dispute", number, payment_no, "", number, amount, currency)


def _read_wechat(harness: WechatHarness, known: set[str]) -> Iterator[Total]:
    books = requests.get(f"{harness.sandbox.url}/sandbox/books", timeout=60).json()
    for order in books["orders"]:
        number = order["out_trade_no"]
        if order["transaction_id"] and number in known:
            yield Total("payment", number, number, number, order["transaction_id"], order["total"], "CNY")
    for refund in books["refunds"]:
        if refund["out_trade_no"] in known:
            amount = refund["amount"] if refund["status"] == "SUCCESS" else 0
            number = refund["out_refund_no"]
            yield Total("refund", number, refund["out_trade_no"], number, refund["refund_id"], amount, "CNY")


def _read_alipay(harness: AlipayHarness, known: set[str]) -> Iterator[Total]:
    for entry in harness.bank.control("GET", "ledger", seller_id=SELLER_ID)["entries"]:
        payment_no = entry["out_trade_no"].replace("_", "-")
        if payment_no not in known:
            continue
        if entry["kind"] == "payment":
            yield Total(
                "payment", payment_no, payment_no, payment_no, entry["trade_no"], entry["amount_fen"], "CNY"
            )
        elif entry["kind"] == "refund":
            request_no = entry["out_request_no"]
            reference = request_no.replace("_", "-") if request_no.startswith("REF_") else ""
            channel_no = f"{entry['trade_no']}:{request_no}"
            yield Total("refund", channel_no, payment_no, reference, channel_no, -entry["amount_fen"], "CNY")


def _read_paypal(fake: FakePayPal, known: set[str]) -> Iterator[Total]:
    account = fake.account
    for number, capture in list(account.captures.items()):
        payment_no = capture.get("custom_id", "")
        if payment_no in known and capture["status"] not in ("PENDING", "DECLINED", "FAILED"):
            yield Total("payment", number, payment_no, payment_no, number, *_read_money(capture["amount"]))
    for number, refund in list(account.refunds.items()):
        payment_no = account.captures[account.capture_of[number]].get("custom_id", "")
        if payment_no in known:
            reference = refund.get("invoice_id", "")
            yield Total("refund", number, payment_no, reference, number, *_read_money(refund["amount"]))
    for number, dispute in list(account.disputes.items()):
        payment_no = account.captures[get_capture_id(dispute)].get("custom_id", "")
        if payment_no in known:
            currency = dispute["dispute_amount"]["currency_code"]
            held_minor = int(read_held(account, dispute) * 100)
            yield Total("dispute", number, payment_no, "", number, held_minor, currency)


def _read_money(amount: Mapping[str, str]) -> tuple[int, str]:
    return int(Decimal(amount["value"]) * 100), amount["currency_code"]


def can_be_paid(harness: ChannelHarness, payment: Mapping[str, Any]) -> bool:
    """Returns whether the customer's page is open at the channel."""
    number = payment["payment_no"]
    match harness:
        case SimulatorHarness():
            return SimulatedPayment.objects.filter(pk=number, state="open").exists()
        case StripeHarness():
            session = harness.fake.sessions.get(payment["channel_trade_no"] or "")
            return session is not None and session["status"] == "open"
        case WechatHarness():
            orders = requests.get(f"{harness.sandbox.url}/sandbox/books", timeout=60).json()["orders"]
            return any(each["out_trade_no"] == number and each["state"] == "NOTPAY" for each in orders)
        case AlipayHarness():
            trade = harness.bank.find_trade(number)
            return trade is None or trade["status"] == "WAIT_BUYER_PAY"
        case PayPalHarness():
            return harness.fake.is_waiting_for_payer(payment["channel_trade_no"] or "")
    raise TypeError(harness)
