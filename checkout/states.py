"""The state of a payment that its customer sees: from its status and the money that moved."""

import datetime as dt
import enum
from dataclasses import dataclass


class PageState(enum.StrEnum):
    """The state that the payment page shows. The page polls this value and updates itself when it changes."""

    PREPARING = "preparing"
    OPEN = "open"
    TIME_OVER = "time_over"  # nobody has closed the payment yet: it may still turn out to be paid
    PROCESSING = "processing"
    CHECKING = "checking"  # a person finds out whether money moved
    AUTHORIZED = "authorized"
    PAID = "paid"
    PARTLY_REFUNDED = "partly_refunded"
    REFUND_PENDING = "refund_pending"
    REFUNDED = "refunded"
    DECLINED = "declined"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    LATE_HELD = "late_held"  # money came after the end, and is not refunded
    LATE_REFUND_PENDING = "late_refund_pending"
    LATE_REFUNDED = "late_refunded"


CLOSED_UNPAID_STATES = frozenset({PageState.DECLINED, PageState.CANCELLED, PageState.EXPIRED})
# The customer waits for something to happen.
WAITING_STATES = frozenset(
    {
        PageState.PREPARING,
        PageState.TIME_OVER,
        PageState.PROCESSING,
        PageState.CHECKING,
    }
)
# Nothing more happens in the next minutes: the page stops asking.
FINAL_STATES = frozenset(PageState) - WAITING_STATES - {PageState.OPEN}


@dataclass(frozen=True, slots=True)
class PaymentAmounts:
    """The payment's money in minor units. `excess_…` is that of duplicate payments."""

    amount_minor: int
    currency: str
    captured_minor: int = 0
    refunded_minor: int = 0
    refund_pending_minor: int = 0
    excess_minor: int = 0
    excess_refunded_minor: int = 0
    excess_pending_minor: int = 0

    @property
    def received_minor(self) -> int:
        return self.captured_minor + self.excess_minor

    @property
    def returned_minor(self) -> int:
        return self.refunded_minor + self.excess_refunded_minor


def refine_state(state: PageState, money: PaymentAmounts, *, needs_review: bool = False) -> PageState:
    """Chooses the state of a payment that has ended by where its money is now."""
    if state == PageState.PAID:
        return _choose_paid_state(money)
    if state not in CLOSED_UNPAID_STATES:
        return state
    if money.received_minor:
        return _choose_late_state(money)
    return PageState.CHECKING if needs_review else state


def _choose_paid_state(money: PaymentAmounts) -> PageState:
    if money.refunded_minor >= money.captured_minor:
        return PageState.REFUNDED
    if money.refund_pending_minor:
        return PageState.REFUND_PENDING
    return PageState.PARTLY_REFUNDED if money.refunded_minor else PageState.PAID


def _choose_late_state(money: PaymentAmounts) -> PageState:
    if money.returned_minor >= money.received_minor:
        return PageState.LATE_REFUNDED
    pending_minor = money.refund_pending_minor + money.excess_pending_minor
    if money.returned_minor + pending_minor >= money.received_minor:
        return PageState.LATE_REFUND_PENDING
    return PageState.LATE_HELD


def count_seconds(until: dt.datetime, now: dt.datetime) -> int:
    """Whole seconds that are left, 0 when it is over."""
    return max(0, int((until - now).total_seconds()))
