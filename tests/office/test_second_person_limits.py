"""The approval limit in currencies with 0, 2 and 3 decimals."""

import pytest
from django.core.checks import run_checks

from backoffice.approvals.limits import exceeds_limit


@pytest.mark.parametrize(
    ("currency", "limit_minor"),
    [("USD", 1_000_000), ("EUR", 1_000_000), ("VND", 1_000_000), ("KRW", 1_000_000), ("KWD", 1_000_000)],
)
def test_any_currency_counts_decimals(settings, currency: str, limit_minor: int) -> None:
    """The default limit is 10,000.00 USD, 1,000,000 VND or 1,000.000 KWD: 20,000 VND need no approval, 9,999 KWD do."""
    settings.SECOND_PERSON_ABOVE = {"*": "10000"}
    assert not exceeds_limit(amount_minor=limit_minor, currency=currency)
    assert exceeds_limit(amount_minor=limit_minor + 1, currency=currency)


@pytest.mark.parametrize(
    ("currency", "limit", "limit_minor"),
    [("JPY", "1000000", 1_000_000), ("USD", "99.50", 9_950), ("KWD", "3000.125", 3_000_125), ("VND", "0", 0)],
)
def test_own_limit_is_in_major_units(settings, currency: str, limit: str, limit_minor: int) -> None:
    settings.SECOND_PERSON_ABOVE = {"*": "1", currency: limit}
    assert not exceeds_limit(amount_minor=limit_minor, currency=currency)
    assert exceeds_limit(amount_minor=limit_minor + 1, currency=currency)


def test_currency_without_a_limit(settings) -> None:
    settings.SECOND_PERSON_ABOVE = {"USD": "10"}
    assert not exceeds_limit(amount_minor=10**12, currency="EUR")
    assert _find_check_ids() == ["approvals.W001"]


def test_default_limits_are_valid() -> None:
    assert _find_check_ids() == []


@pytest.mark.parametrize(
    "limits",
    [
        {"*": "much"},
        {"*": ""},
        {"*": "-1"},
        {"*": "NaN"},
        {"*": "Infinity"},
        {"*": "1", "XXX": "1"},
        {"*": "1", "usd": "1"},
        {"*": "1", "JPY": "0.5"},
        {"*": "1", "USD": "0.005"},
        {"*": "0.001"},
    ],
)
def test_invalid_limits_are_refused(settings, limits: dict[str, str]) -> None:
    settings.SECOND_PERSON_ABOVE = limits
    assert _find_check_ids() == ["approvals.E001"]


def _find_check_ids() -> list[str]:
    return [str(found.id) for found in run_checks() if str(found.id).startswith("approvals.")]
