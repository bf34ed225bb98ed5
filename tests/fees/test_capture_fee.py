"""The fee of one capture, from the plan's terms or from the basis of the payment's first capture. No database."""

import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from fees.charging import NO_FEE, CapturedPayment, CaptureFee, compute_capture_fee, compute_refund_fee
from fees.formula import RefundRule, Terms, Tier
from tests.support.fee_plans import rate

PAYMENT = CapturedPayment(
    id=uuid.uuid4(),
    merchant_id=uuid.uuid4(),
    environment="test",
    currency="USD",
    channel="stripe",
    payment_method="card",
    captured_before_minor=0,
    captured_minor=10_000,
)


def terms(*rates: Any) -> Mapping[str, Any]:
    plan = Terms(rates, RefundRule.KEEP_FIXED).as_json()
    return {"plan_version": "v1", "terms": plan}


def test_a_merchant_without_a_plan() -> None:
    assert compute_capture_fee(PAYMENT, None) is NO_FEE
    assert CaptureFee(0, None) == NO_FEE


def test_the_first_capture_decides_the_basis() -> None:
    wanted = rate(10_000, 5, channel="stripe", payment_method="card")
    fee = compute_capture_fee(
        PAYMENT, terms(rate(1), rate(2, currency="EUR"), wanted, rate(3, channel="stripe"))
    )
    assert fee == CaptureFee(
        105,
        {
            "plan_version": "v1",
            "rate_number": 2,
            "rate": wanted.as_json(),
            "refund_rule": "keep_fixed",
            "volume_before_minor": 0,
            "captured_minor": 10_000,
            "fee_minor": 105,
        },
    )


def test_a_later_capture_adds_what_is_missing() -> None:
    first = compute_capture_fee(replace(PAYMENT, captured_minor=3_000), terms(rate(10_000, 5)))
    later = replace(PAYMENT, captured_before_minor=3_000, captured_minor=10_000)
    assert first.basis is not None
    fee = compute_capture_fee(later, first.basis)
    assert (first.fee_minor, fee.fee_minor) == (35, 70)
    assert fee.basis == {**first.basis, "captured_minor": 10_000, "fee_minor": 105}


def test_the_volume_of_the_first_capture_counts_for_the_later_ones() -> None:
    tiers = (Tier(0, 30_000), Tier(10_000, 10_000))
    basis = {
        "plan_version": "v1",
        "rate_number": 0,
        "rate": rate(fixed_minor=0, tiers=tiers).as_json(),
        "refund_rule": "keep",
        "volume_before_minor": 9_000,
        "captured_minor": 1_000,
        "fee_minor": 30,
    }
    later = replace(PAYMENT, captured_before_minor=1_000, captured_minor=2_000)
    assert compute_capture_fee(later, basis).fee_minor == 10


def test_without_a_matching_rate_the_basis_says_so() -> None:
    fee = compute_capture_fee(PAYMENT, terms(rate(currency="EUR")))
    assert fee == CaptureFee(
        0,
        {
            "plan_version": "v1",
            "rate_number": None,
            "rate": None,
            "refund_rule": "keep_fixed",
            "volume_before_minor": 0,
            "captured_minor": 10_000,
            "fee_minor": 0,
        },
    )
    again = compute_capture_fee(replace(PAYMENT, captured_minor=12_000), fee.basis)
    assert (again.fee_minor, again.basis) == (0, {**fee.basis, "captured_minor": 12_000})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    "basis",
    [
        None,
        {"rate": None, "refund_rule": "proportional"},
        {"rate": rate().as_json(), "refund_rule": "keep"},
    ],
    ids=["no plan", "no rate", "kept"],
)
def test_no_fee_is_returned(basis: Mapping[str, Any] | None) -> None:
    """The function makes no query: this test has no database."""
    found = compute_refund_fee(
        payment_id=PAYMENT.id, basis=basis, captured_minor=10_000, refunded_minor=10_000
    )
    assert found == 0
