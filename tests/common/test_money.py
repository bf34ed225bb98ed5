"""Amounts as text: for channels and statements, and for people."""

import pytest

from common.money import EXPONENTS, format_localized, to_major_text


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (12_345, "USD", "123.45"),
        (5, "USD", "0.05"),
        (0, "USD", "0.00"),
        (-1, "USD", "-0.01"),
        (100, "USD", "1.00"),
        (12_345, "JPY", "12345"),
        (12_345, "KWD", "12.345"),
        (999_999_999_999, "KWD", "999999999.999"),
    ],
)
def test_major_units_as_text(amount: int, currency: str, text: str) -> None:
    assert to_major_text(amount, currency) == text


@pytest.mark.parametrize(
    ("amount", "currency", "locale", "text"),
    [
        (1_234_567, "USD", "en_US", "$12,345.67"),
        (1_234_567, "USD", "zh_Hans_CN", "US$12,345.67"),
        (-5, "USD", "en_US", "-$0.05"),
        (12_345, "JPY", "en_US", "¥12,345"),
        (100, "ISK", "en_US", "ISK\u00a0100"),
        (100, "COP", "en_US", "COP\u00a01.00"),  # CLDR has no decimals in daily use
        (1_234_567, "KWD", "en_US", "KWD\u00a01,234.567"),
        (12_345, "CNY", "zh_Hans_CN", "¥123.45"),
        (12_345, "THB", "en_US", "THB\u00a0123.45"),
        (12_345, "THB", "th_TH", "฿123.45"),
        (1_234_567, "KWD", "de_DE", "KWD\u00a01.234,567"),
    ],
)
def test_amounts_for_people(amount: int, currency: str, locale: str, text: str) -> None:
    assert format_localized(amount, currency, locale) == text


def test_the_patterns_of_babel_are_not_changed() -> None:
    """They are shared by all amounts: a copy gets the decimals of a currency."""
    assert format_localized(1, "KWD", "en_US") == "KWD\u00a00.001"
    assert format_localized(1, "USD", "en_US") == "$0.01"
    assert format_localized(1, "JPY", "en_US") == "¥1"


def test_the_exponents_are_those_of_iso_4217() -> None:
    assert {EXPONENTS[each] for each in ("USD", "EUR", "CNY", "HUF", "TWD", "IDR")} == {2}
    assert {EXPONENTS[each] for each in ("JPY", "KRW", "VND", "CLP")} == {0}
    assert {EXPONENTS[each] for each in ("KWD", "BHD", "TND")} == {3}
