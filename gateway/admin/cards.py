"""Describes, for the admin, the card that paid a payment."""

from typing import Any

# Names that are not written with a capital letter at the beginning of each word.
NAMES = {"unionpay": "UnionPay", "jcb": "JCB", "china_union_pay": "UnionPay", "eftpos_au": "eftpos"}


def format_card(payment: Any, *, with_wallet: bool = True) -> str:
    """Returns `Visa •••• 4242 · Apple Pay`; an empty string where the channel tells no card."""
    if not payment.card_brand:
        return ""
    digits = f" •••• {payment.card_last_four}" if payment.card_last_four else ""
    wallet = f" · {_to_text(payment.card_wallet)}" if payment.card_wallet and with_wallet else ""
    return f"{_to_text(payment.card_brand)}{digits}{wallet}"


def _to_text(name: str) -> str:
    return NAMES.get(name) or name.replace("_", " ").title()
