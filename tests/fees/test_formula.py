"""The formula by itself, against exact arithmetic."""

from fractions import Fraction
from math import floor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fees.formula import (
    Rate,
    RefundRule,
    Terms,
    Tier,
    compute_fee,
    compute_returned_fee,
    divide_half_up,
)
from tests.support.fee_plans import rate

AMOUNTS = st.integers(1, 1_000_000)
TIERS = st.lists(st.tuples(st.integers(1, 500_000), st.integers(0, 1_000_000)), max_size=3).map(
    lambda found: tuple(Tier(begin, each) for begin, each in sorted(dict(found).items()))
)


@st.composite
def rates(draw: st.DrawFn) -> Rate:
    minimum = draw(st.integers(0, 500))
    return Rate(
        currency="USD",
        tiers=(Tier(0, draw(st.integers(0, 1_000_000))), *draw(TIERS)),
        fixed_minor=draw(st.integers(0, 500)),
        minimum_minor=minimum,
        maximum_minor=draw(st.none() | st.integers(minimum, 5_000)),
    )


def exact_fee(wanted: Rate, amount: int, volume: int) -> int:
    """Minor unit by minor unit of the volume would be slow; tier by tier, with fractions."""
    part = Fraction(0)
    for number, tier in enumerate(wanted.tiers):
        end = wanted.tiers[number + 1].from_minor if number + 1 < len(wanted.tiers) else None
        begin = max(volume, tier.from_minor)
        stop = volume + amount if end is None else min(volume + amount, end)
        if stop > begin:
            part += Fraction((stop - begin) * tier.rate_millionths, 1_000_000)
    fee = floor(part + Fraction(1, 2)) + wanted.fixed_minor
    fee = max(fee, wanted.minimum_minor)
    fee = fee if wanted.maximum_minor is None else min(fee, wanted.maximum_minor)
    return min(fee, amount)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(rates(), AMOUNTS, st.integers(0, 600_000), AMOUNTS)
def test_a_fee_is_exact_and_never_falls(wanted: Rate, amount: int, volume: int, more: int) -> None:
    fee = compute_fee(wanted, amount_minor=amount, volume_before_minor=volume)
    assert fee == exact_fee(wanted, amount, volume)
    assert 0 <= fee <= amount
    assert compute_fee(wanted, amount_minor=amount + more, volume_before_minor=volume) >= fee


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    rates(),
    st.sampled_from(RefundRule),
    st.lists(st.integers(1, 400), min_size=1, max_size=8),
    st.integers(0, 99),
)
def test_refunds_of_all_parts_give_back_what_the_rule_allows(
    wanted: Rate, rule: RefundRule, parts: list[int], rest: int
) -> None:
    captured = sum(parts) + rest
    fee = compute_fee(wanted, amount_minor=captured, volume_before_minor=0)
    returned = refunded = 0
    for part in parts:
        refunded += part
        returned_fee = compute_returned_fee(
            wanted,
            rule,
            fee_minor=fee,
            returned_before_minor=returned,
            captured_minor=captured,
            refunded_minor=refunded,
        )
        assert returned_fee >= 0
        returned += returned_fee
        assert returned <= fee
    allowed = {
        RefundRule.KEEP: 0,
        RefundRule.PROPORTIONAL: fee,
        RefundRule.KEEP_FIXED: fee - min(fee, wanted.fixed_minor),
    }[rule]
    if rest == 0:
        assert returned == allowed
    assert abs(returned - Fraction(allowed * refunded, captured)) <= Fraction(1, 2)


@pytest.mark.parametrize(
    ("amount", "fee"),
    [(10_000, 320), (1, 1), (30, 30), (31, 31), (500, 45), (501, 45), (518, 45), (552, 46), (50, 31)],
)
def test_two_point_nine_percent_and_thirty_cents(amount: int, fee: int) -> None:
    """500 x 2.9 % is exactly 14.5: half is rounded up. The fee is never more than the amount."""
    assert compute_fee(rate(), amount_minor=amount, volume_before_minor=0) == fee


def test_a_payment_is_split_over_the_tiers() -> None:
    wanted = rate(fixed_minor=0, tiers=(Tier(0, 30_000), Tier(10_000, 20_000), Tier(20_000, 10_000)))
    assert compute_fee(wanted, amount_minor=15_000, volume_before_minor=8_000) == 60 + 200 + 30


def test_the_most_specific_rate_is_used() -> None:
    terms = Terms(
        (
            rate(1),
            rate(2, channel="stripe"),
            rate(3, payment_method="card"),
            rate(4, channel="stripe", payment_method="card"),
            rate(5, currency="EUR"),
        ),
        RefundRule.KEEP,
    )

    def find(channel: str, method: str, currency: str = "USD") -> int | None:
        return terms.find_rate(currency=currency, channel=channel, payment_method=method)

    assert [find("paypal", ""), find("stripe", ""), find("paypal", "card"), find("stripe", "card")] == [
        0,
        1,
        2,
        3,
    ]
    assert find("stripe", "card", "EUR") == 4
    assert find("stripe", "card", "JPY") is None
    assert Terms.from_json(terms.as_json()) == terms


def test_of_two_equally_specific_rates_the_first_is_used() -> None:
    terms = Terms((rate(1), rate(2), rate(3, channel="stripe"), rate(4, channel="stripe")), RefundRule.KEEP)
    assert terms.find_rate(currency="USD", channel="paypal", payment_method="") == 0
    assert terms.find_rate(currency="USD", channel="stripe", payment_method="") == 2


def test_a_rate_with_more_than_one_tier_needs_the_volume() -> None:
    assert rate().has_tiers is False
    assert rate(tiers=(Tier(0, 1), Tier(5, 2))).has_tiers is True


def test_stored_terms_keep_their_names() -> None:
    """`fee_plan_versions.terms` and `ledger_transfers.fee_basis` have them."""
    terms = Terms(
        (rate(5, 6, channel="stripe", payment_method="card", minimum_minor=7, maximum_minor=8),),
        RefundRule.KEEP_FIXED,
    )
    stored = {
        "rates": [
            {
                "currency": "USD",
                "channel": "stripe",
                "payment_method": "card",
                "fixed_minor": 6,
                "minimum_minor": 7,
                "maximum_minor": 8,
                "tiers": [{"from_minor": 0, "rate_millionths": 5}],
            }
        ],
        "refund_rule": "keep_fixed",
    }
    assert terms.as_json() == stored
    assert Terms.from_json(stored) == terms
    assert isinstance(Terms.from_json(stored).refund_rule, RefundRule)


@pytest.mark.parametrize(
    ("rule", "returned_before", "refunded", "returned_fee"),
    [
        (RefundRule.PROPORTIONAL, 0, 1_001, 100),  # the channel refunded more than was captured
        (RefundRule.KEEP_FIXED, 0, 1_001, 70),
        (RefundRule.PROPORTIONAL, 60, 500, 0),  # more of the fee was returned than the refunds allow
        (RefundRule.PROPORTIONAL, 49, 500, 1),
        (RefundRule.KEEP_FIXED, 0, 500, 35),
        (RefundRule.KEEP, 0, 1_000, 0),
    ],
)
def test_a_returned_fee(rule: RefundRule, returned_before: int, refunded: int, returned_fee: int) -> None:
    found = compute_returned_fee(
        rate(70_000, 30),
        rule,
        fee_minor=100,
        returned_before_minor=returned_before,
        captured_minor=1_000,
        refunded_minor=refunded,
    )
    assert found == returned_fee


def test_a_fee_smaller_than_the_fixed_part_is_kept_whole() -> None:
    for rule, expected in ((RefundRule.KEEP_FIXED, 0), (RefundRule.PROPORTIONAL, 20)):
        found = compute_returned_fee(
            rate(0, 30),
            rule,
            fee_minor=20,
            returned_before_minor=0,
            captured_minor=20,
            refunded_minor=20,
        )
        assert found == expected


@pytest.mark.parametrize(
    ("dividend", "divisor", "quotient"),
    [
        (0, 1, 0),
        (1, 2, 1),
        (1, 3, 0),
        (2, 3, 1),
        (3, 2, 2),
        (5, 10, 1),
        (4, 10, 0),
        (10**15 + 1, 2, 500_000_000_000_001),
    ],
)
def test_exactly_one_half_is_rounded_up(dividend: int, divisor: int, quotient: int) -> None:
    found = divide_half_up(dividend, divisor)
    assert (found, type(found)) == (quotient, int)


def test_a_rate_without_tiers_is_no_rate() -> None:
    """No plan can have one. It must not be free of charge."""
    with pytest.raises(ValueError, match="zip"):
        compute_fee(rate(tiers=()), amount_minor=100, volume_before_minor=0)
