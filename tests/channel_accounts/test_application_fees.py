"""The arithmetic of the application fee: whole numbers, rounded down, always less than the amount."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channel_accounts.application_fees import BASIS_POINTS_PER_WHOLE, ApplicationFee
from common.money import MAX_AMOUNT_MINOR

amounts = st.integers(1, MAX_AMOUNT_MINOR)


@given(
    amounts,
    st.integers(0, BASIS_POINTS_PER_WHOLE),
    st.integers(0, MAX_AMOUNT_MINOR),
    st.sampled_from((1, 10)),
)
def test_the_fee_is_the_exact_one_rounded_down(amount: int, basis_points: int, fixed: int, step: int) -> None:
    fee = ApplicationFee(basis_points, {"USD": fixed}).compute(amount_minor=amount, currency="USD", step=step)
    exact = Fraction(amount * basis_points, BASIS_POINTS_PER_WHOLE) + fixed
    assert 0 <= fee < amount
    assert fee % step == 0
    assert fee <= exact
    if exact < amount:
        assert exact - fee < step + 1 - Fraction(1, BASIS_POINTS_PER_WHOLE)


@given(amounts, st.integers(0, BASIS_POINTS_PER_WHOLE))
def test_a_larger_amount_never_has_a_smaller_fee(amount: int, basis_points: int) -> None:
    fee = ApplicationFee(basis_points, {"USD": 30})
    smaller, larger = (fee.compute(amount_minor=each, currency="USD") for each in (amount, amount + 1))
    assert smaller <= larger


@pytest.mark.parametrize(
    ("amount", "currency", "step", "expected"),
    [
        (10_000, "USD", 1, 320),
        (33, "USD", 1, 30),  # 0.957 of a cent is rounded down
        (20, "USD", 1, 19),  # less than the amount
        (1, "USD", 1, 0),
        (10_000, "EUR", 1, 290),  # no fixed amount in euros
        (10_010, "KWD", 10, 290),  # Stripe takes dinars in steps of ten
    ],
)
def test_examples(amount: int, currency: str, step: int, expected: int) -> None:
    fee = ApplicationFee(290, {"USD": 30})
    assert fee.compute(amount_minor=amount, currency=currency, step=step) == expected
