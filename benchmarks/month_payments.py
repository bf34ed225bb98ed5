"""The payments of a month, by number: who pays what, where and when, and what happens afterwards.

Everything is computed from the number, so that each run has the same month, and a list of a million payments needs no
memory. `benchmarks/month_ledger.py` loads what the platform would have stored, and `benchmarks/month_statements.py`
writes what the channels would have reported.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

MONTH = dt.datetime(2026, 10, 1, tzinfo=dt.UTC)
DAYS = 31
# The channel moves the money at most so long before the platform learns of it.
MAX_LAG_SECONDS = 90
_MIX = 0x9E3779B97F4A7C15
_CHANNELS = ("stripe",) * 4 + ("wechat",) * 3 + ("alipay",) * 2 + ("paypal",)


@dataclass(frozen=True, slots=True)
class Movement:
    """Money that moved at the channel, negative when the account lost it. `event` is the ledger's word, `kind` that of
    statements; `number` counts the movements of the payment. The platform learned of it at `learned_at`."""

    event: str
    kind: str
    number: int
    amount_minor: int
    moved_at: dt.datetime
    learned_at: dt.datetime


@dataclass(frozen=True, slots=True)
class MonthPayment:
    number: int
    channel: str
    currency: str
    amount_minor: int
    merchant: int
    paid_at: dt.datetime
    story: str
    lag_seconds: int

    @property
    def payment_no(self) -> str:
        return f"PAY-{self.paid_at:%Y%m%d}-{self.number:012d}"

    @property
    def trade_no(self) -> str:
        """The channel's number."""
        return f"pi_{self.number}" if self.channel == "stripe" else f"42000{self.number:023d}"

    def name_refund(self, number: int) -> str:
        return f"REF-{self.paid_at:%Y%m%d}-{self.number:09d}{number:03d}"

    def name_refund_at_channel(self, number: int) -> str:
        if self.channel == "alipay":
            return f"{self.trade_no}:{self.name_refund(number).replace('-', '_')}"
        return (
            f"re_{self.number}_{number}"
            if self.channel == "stripe"
            else f"50000{self.number:020d}{number:03d}"
        )

    @property
    def dispute_no(self) -> str:
        return f"DSP-{self.paid_at:%Y%m%d}-{self.number:012d}"

    @property
    def dispute_no_at_channel(self) -> str:
        return f"dp_{self.number}"


def build_payment(number: int, total: int) -> MonthPayment:
    """The payment of this number of so many of the month, in the order of time."""
    bits = _mix(number)
    channel = _CHANNELS[bits % len(_CHANNELS)]
    story = _choose_story(channel, (bits >> 36) % 1000)
    return _build(number, bits, channel, story, DAYS * 86_400 * number / total)


def _build(number: int, bits: int, channel: str, story: str, seconds: float) -> MonthPayment:
    return MonthPayment(
        number=number,
        channel=channel,
        currency=_choose_currency(channel, bits >> 4),
        amount_minor=500 + (bits >> 12) % 50_000,
        merchant=(bits >> 30) % 3,
        paid_at=MONTH + dt.timedelta(seconds=int(seconds) + MAX_LAG_SECONDS),
        story=story,
        lag_seconds=(bits >> 48) % MAX_LAG_SECONDS,
    )


def _mix(number: int) -> int:
    bits = ((number + 1) * _MIX) & 0xFFFFFFFFFFFFFFFF
    return bits ^ bits >> 29


def _choose_currency(channel: str, bits: int) -> str:
    if channel in ("wechat", "alipay"):
        return "CNY"
    return "EUR" if bits % 4 == 0 else "USD"


def _choose_story(channel: str, draw: int) -> str:
    """Of a thousand payments: 60 are refunded, 30 in two parts; 5 refunds fail, 5 payments come too late. Cards also
    have disputes, of which half are won, and refunds that the customer's bank returns."""
    for limit, story in ((60, "refunded"), (90, "refunded in parts"), (95, "refund failed"), (100, "late")):
        if draw < limit:
            return story
    if channel in ("stripe", "paypal"):
        for limit, story in ((103, "dispute lost"), (106, "dispute won"), (108, "refund returned")):
            if draw < limit:
                return story
    return "plain"


def list_movements(payment: MonthPayment) -> Iterator[Movement]:
    """What the channel moved, in the order of time."""
    amount, part = payment.amount_minor, payment.amount_minor // 3
    is_late = payment.story == "late"
    yield _move(payment, "payment.late" if is_late else "payment.captured", "payment", 0, amount, hours=0)
    match payment.story:
        case "refunded" | "late":
            yield _move(payment, "refund.succeeded", "refund", 1, -amount, hours=7)
        case "refunded in parts":
            yield _move(payment, "refund.succeeded", "refund", 1, -part, hours=20)
            yield _move(payment, "refund.succeeded", "refund", 2, part - amount, hours=50)
        case "refund returned":
            yield _move(payment, "refund.succeeded", "refund", 1, -part, hours=5)
            yield _move(payment, "refund.reversed", "refund_reversal", 1, part, hours=60)
        case "dispute lost" | "dispute won":
            yield _move(payment, "dispute.withdrawn", "dispute", 1, -amount, hours=90)
            if payment.story == "dispute won":
                yield _move(payment, "dispute.reinstated", "dispute_reversal", 1, amount, hours=200)


def _move(
    payment: MonthPayment, event: str, kind: str, number: int, amount_minor: int, *, hours: int
) -> Movement:
    moved_at = payment.paid_at + dt.timedelta(hours=hours)
    return Movement(
        event, kind, number, amount_minor, moved_at, moved_at + dt.timedelta(seconds=payment.lag_seconds)
    )
