"""The figures of one channel or merchant on the dashboard, and of the period before."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PaidTotal:
    """In minor units of one currency."""

    captured_minor: int
    refunded_minor: int

    @property
    def net_minor(self) -> int:
        """Negative when more was refunded, also of older payments, than captured."""
        return self.captured_minor - self.refunded_minor

    @property
    def refund_rate(self) -> float | None:
        return self.refunded_minor / self.captured_minor if self.captured_minor else None

    def __add__(self, other: "PaidTotal") -> "PaidTotal":
        return PaidTotal(
            self.captured_minor + other.captured_minor, self.refunded_minor + other.refunded_minor
        )


NOTHING_PAID = PaidTotal(0, 0)


@dataclass(slots=True)
class OutcomeTotals:
    """`outcomes` counts the payments by outcome, `paid` has the money by currency."""

    outcomes: Counter[str] = field(default_factory=Counter)
    previous_outcomes: Counter[str] = field(default_factory=Counter)
    paid: dict[str, PaidTotal] = field(default_factory=dict)
    previous_paid: dict[str, PaidTotal] = field(default_factory=dict)

    def add(self, other: "OutcomeTotals") -> None:
        self.outcomes += other.outcomes
        self.previous_outcomes += other.previous_outcomes
        _add_paid(self.paid, other.paid)
        _add_paid(self.previous_paid, other.previous_paid)


def _add_paid(totals: dict[str, PaidTotal], more: Mapping[str, PaidTotal]) -> None:
    for currency, paid in more.items():
        totals[currency] = totals.get(currency, NOTHING_PAID) + paid


def success_rate(outcomes: Counter[str]) -> float | None:
    """Returns succeeded / (succeeded + failed). Payments that the customer abandoned do not count."""
    ended = outcomes["succeeded"] + outcomes["failed"]
    return outcomes["succeeded"] / ended if ended else None
