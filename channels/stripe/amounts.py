"""Our minor units and Stripe's, which are not the same for every currency (docs.stripe.com/currencies)."""

from channels.base import Declined

# Currencies without decimals that Stripe still takes with two.
_HUNDREDFOLD = frozenset({"ISK", "UGX"})
# Three decimals, the last of which must be zero.
STEPS = dict.fromkeys(("BHD", "JOD", "KWD", "OMR", "TND"), 10)


class UnsupportedAmount(Exception):
    """Stripe cannot take this amount of this currency; another channel may."""

    def __init__(self, amount_minor: int, currency: str) -> None:
        super().__init__(f"Stripe takes {currency} in steps of 10 minor units, not {amount_minor}.")

    def as_answer(self) -> Declined:
        return Declined("amount_not_supported", str(self), can_fail_over=True)


def to_stripe(amount_minor: int, currency: str) -> int:
    """Raises `UnsupportedAmount`."""
    if amount_minor % STEPS.get(currency, 1):
        raise UnsupportedAmount(amount_minor, currency)
    return amount_minor * 100 if currency in _HUNDREDFOLD else amount_minor


def from_stripe(amount: int, currency: str) -> int:
    """`currency` as Stripe writes it. An impossible fraction is rounded up: it then differs from ours."""
    return -(-amount // 100) if currency.upper() in _HUNDREDFOLD else amount
