"""The amounts that Stripe accepts (docs.stripe.com/currencies)."""

from tests.support.stripe.messages import InvalidParameter

# docs.stripe.com/currencies#minimum-and-maximum-charge-amounts
MINIMUM = {
    "usd": 50, "aed": 200, "aud": 50, "brl": 50, "cad": 50, "chf": 50, "czk": 1500, "dkk": 250, "eur": 50, "gbp": 30,
    "hkd": 400, "huf": 17500, "inr": 50, "jpy": 50, "mxn": 1000, "myr": 200, "nok": 300, "nzd": 50, "pln": 200,
    "ron": 200, "sek": 300, "sgd": 50, "thb": 1000,
}  # fmt: skip
MAXIMUM = 99_999_999
# docs.stripe.com/currencies#three-decimal
THREE_DECIMALS = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})


def require_chargeable(amount: int, currency: str) -> None:
    require_multiple_of_ten(amount, currency, "amount")
    if amount < MINIMUM.get(currency, 1):
        raise InvalidParameter(
            "Amount must be at least the minimum.", code="amount_too_small", param="amount"
        )
    if amount > MAXIMUM:
        raise InvalidParameter(
            "Amount must be no more than 8 digits.", code="amount_too_large", param="amount"
        )


def require_multiple_of_ten(amount: int, currency: str, param: str) -> None:
    if currency in THREE_DECIMALS and amount % 10:
        message = f"Invalid integer: {amount}: amounts in {currency} are in steps of ten"
        raise InvalidParameter(message, code="parameter_invalid_integer", param=param)
