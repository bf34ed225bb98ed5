"""The formula of a platform fee (docs/FEES.md). Integers only; nothing here reads or writes the database.

The fee is a function of all that a payment has captured, of the rate, and of the merchant's volume before the payment:

    part   = the sum over the tiers of (amount in the tier x rate of the tier), rounded half up once
    fee    = part + fixed, at least the minimum, at most the maximum, and never more than the amount
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from django.db import models
from django.utils.translation import gettext_lazy as _

# A rate is in millionths of the amount: 29,000 is 2.9 %.
MILLIONTHS_PER_WHOLE: Final = 1_000_000


class RefundRule(models.TextChoices):
    """The part of the fee that a refund gives back."""

    KEEP = "keep", _("The platform keeps the fee")
    PROPORTIONAL = "proportional", _("In proportion to the refunded amount")
    KEEP_FIXED = "keep_fixed", _("In proportion, but the platform keeps the fixed part")


@dataclass(frozen=True, slots=True)
class Tier:
    """The rate of the volume from `from_minor` up to the next tier."""

    from_minor: int
    rate_millionths: int


@dataclass(frozen=True, slots=True)
class Rate:
    """The fee of payments in one currency. An empty channel or payment method matches every one. The first tier begins
    at 0, and each next one later. `maximum_minor` None: no maximum."""

    currency: str
    tiers: Sequence[Tier]
    channel: str = ""
    payment_method: str = ""
    fixed_minor: int = 0
    minimum_minor: int = 0
    maximum_minor: int | None = None

    def matches(self, *, currency: str, channel: str, payment_method: str) -> bool:
        return (
            self.currency == currency
            and self.channel in ("", channel)
            and self.payment_method in ("", payment_method)
        )

    @property
    def has_tiers(self) -> bool:
        """Whether the fee depends on the volume."""
        return len(self.tiers) > 1

    def as_json(self) -> dict[str, Any]:
        return {
            "currency": self.currency,
            "channel": self.channel,
            "payment_method": self.payment_method,
            "fixed_minor": self.fixed_minor,
            "minimum_minor": self.minimum_minor,
            "maximum_minor": self.maximum_minor,
            "tiers": [
                {"from_minor": tier.from_minor, "rate_millionths": tier.rate_millionths}
                for tier in self.tiers
            ],
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        return cls(**{**stored, "tiers": tuple(Tier(**tier) for tier in stored["tiers"])})


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of a version of a plan."""

    rates: Sequence[Rate]
    refund_rule: RefundRule

    def find_rate(self, *, currency: str, channel: str, payment_method: str) -> int | None:
        """Returns the number of the most specific rate that matches: one with a payment method comes before one with
        a channel. None: the payment has no fee."""
        found = [
            (bool(rate.payment_method), bool(rate.channel), -number)
            for number, rate in enumerate(self.rates)
            if rate.matches(currency=currency, channel=channel, payment_method=payment_method)
        ]
        return -max(found)[2] if found else None

    def as_json(self) -> dict[str, Any]:
        return {"rates": [rate.as_json() for rate in self.rates], "refund_rule": self.refund_rule.value}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        return cls(
            rates=tuple(Rate.from_json(rate) for rate in stored["rates"]),
            refund_rule=RefundRule(stored["refund_rule"]),
        )


def compute_fee(rate: Rate, *, amount_minor: int, volume_before_minor: int) -> int:
    """Returns the fee of a payment that has captured `amount_minor` in all. It never falls when the amount grows."""
    last = volume_before_minor + amount_minor
    ends = [*(tier.from_minor for tier in rate.tiers[1:]), last]
    millionths = sum(
        max(0, min(last, end) - max(volume_before_minor, tier.from_minor)) * tier.rate_millionths
        for tier, end in zip(rate.tiers, ends, strict=True)
    )
    fee = divide_half_up(millionths, MILLIONTHS_PER_WHOLE) + rate.fixed_minor
    fee = max(fee, rate.minimum_minor)
    if rate.maximum_minor is not None:
        fee = min(fee, rate.maximum_minor)
    return min(fee, amount_minor)


def compute_returned_fee(
    rate: Rate,
    rule: RefundRule,
    *,
    fee_minor: int,
    returned_before_minor: int,
    captured_minor: int,
    refunded_minor: int,
) -> int:
    """Returns what this refund gives back, so that all refunds together give back the part of the fee that belongs to
    `refunded_minor`, the sum of all refunds with this one. A full refund gives back all that the rule allows."""
    if rule == RefundRule.KEEP:
        return 0
    kept_minor = min(rate.fixed_minor, fee_minor) if rule == RefundRule.KEEP_FIXED else 0
    returnable_minor = fee_minor - kept_minor
    share_minor = divide_half_up(returnable_minor * min(refunded_minor, captured_minor), captured_minor)
    return max(0, share_minor - returned_before_minor)


def divide_half_up(dividend: int, divisor: int) -> int:
    """Divides two numbers that are not negative. Exactly one half is rounded up."""
    return (2 * dividend + divisor) // (2 * divisor)
