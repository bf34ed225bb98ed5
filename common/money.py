"""Money is an integer of minor units and an ISO 4217 currency. There is no float anywhere."""

from decimal import Decimal

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

# Fits a bigint with room for sums, and any amount a channel accepts.
MAX_AMOUNT_MINOR = 999_999_999_999


def to_major_text(amount_minor: int, currency: str) -> str:
    """`12345, "USD"` is `"123.45"`, `12345, "JPY"` is `"12345"`."""
    exponent = EXPONENTS[currency]
    return f"{Decimal(amount_minor).scaleb(-exponent):.{exponent}f}"
