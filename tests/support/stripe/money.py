"""Amounts that Stripe takes (docs.stripe.com/currencies): a minimum, eight digits, three-decimal ones in tens."""

from tests.support.stripe.requests import Invalid

MINIMUM = {
    "usd": 50, "aed": 200, "aud": 50, "brl": 50, "cad": 50, "chf": 50, "czk": 1500, "dkk": 250, "eur": 50, "gbp": 30,
    "hkd": 400, "huf": 17500, "inr": 50, "jpy": 50, "mxn": 1000, "myr": 200, "nok": 300, "nzd": 50, "pln": 200,
    "ron": 200, "sek": 300, "sgd": 50, "thb": 1000,
}  # fmt: skip
MAXIMUM = 99_999_999
THREE_DECIMALS = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})


def require_chargeable(amount: int, currency: str) -> None:
    require_steps(amount, currency, "amount")
    if amount < MINIMUM.get(currency, 1):
        raise Invalid("Amount must be at least the minimum.", code="amount_too_small", param="amount")
    if amount > MAXIMUM:
        raise Invalid("Amount must be no more than 8 digits.", code="amount_too_large", param="amount")


def require_steps(amount: int, currency: str, param: str) -> None:
    if currency in THREE_DECIMALS and amount % 10:
        message = f"Invalid integer: {amount}: amounts in {currency} are in steps of ten"
        raise Invalid(message, code="parameter_invalid_integer", param=param)
