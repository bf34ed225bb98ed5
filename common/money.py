"""Amounts are integers of minor units with an ISO 4217 currency, never floats."""

from copy import copy
from decimal import Decimal

from babel import Locale
from babel.numbers import NumberPattern, get_currency_symbol

# How many decimal places a currency's minor unit has (ISO 4217).
EXPONENTS: dict[str, int] = {
    **dict.fromkeys(
        (
            "AED AUD BGN BRL CAD CHF CNY COP CZK DKK EGP EUR GBP GEL HKD HUF IDR ILS INR KES KZT MAD MXN MYR NGN "
            "NOK NZD PEN PHP PKR PLN QAR RON RSD SAR SEK SGD THB TRY TWD UAH USD UYU ZAR"
        ).split(),
        2,
    ),
    **dict.fromkeys("CLP ISK JPY KRW PYG UGX VND XAF XOF".split(), 0),
    **dict.fromkeys("BHD JOD KWD OMR TND".split(), 3),
}

# Below what a bigint holds, with room for sums, and above what any channel accepts.
MAX_AMOUNT_MINOR = 999_999_999_999


def to_major_text(amount_minor: int, currency: str) -> str:
    """`12345, "USD"` is `"123.45"`, `12345, "JPY"` is `"12345"`."""
    exponent = EXPONENTS[currency]
    return f"{Decimal(amount_minor).scaleb(-exponent):.{exponent}f}"


def format_localized(amount_minor: int, currency: str, locale: str) -> str:
    """Formats an amount for `locale` (`zh_Hans_CN`, `en_US`): `US$123.45`, `¥1,000`.

    The decimals are those of `EXPONENTS`, because CLDR counts only decimals in daily use.
    """
    language = Locale.parse(locale)
    exponent = EXPONENTS[currency]
    value = Decimal(amount_minor).scaleb(-exponent)
    if get_currency_symbol(currency, language) == currency:
        # CLDR wants a gap between letters and digits, which Babel leaves out.
        return f"{currency}\u00a0{_with_decimals(language.decimal_formats[None], exponent).apply(value, language)}"
    money = _with_decimals(language.currency_formats["standard"], exponent)
    return str(money.apply(value, language, currency=currency, currency_digits=False))


def _with_decimals(shared: NumberPattern, exponent: int) -> NumberPattern:
    pattern = copy(shared)
    pattern.frac_prec = (exponent, exponent)
    return pattern
