"""Converts our minor units into Stripe's, which differ for some currencies (docs.stripe.com/currencies).

`gateway/limits.py` refuses a wrong step (10.001 KWD) before an order exists; the check here is the second one.
No minimum amount is checked: Stripe's minimums depend on the account's settlement currency and change. Its error
`amount_too_small` is a decline (`channels/stripe/errors.py`), after which a fallback channel may be tried.
"""

from channels.base import Declined

# Currencies without decimals whose amounts Stripe still takes with two (docs.stripe.com/currencies#special-cases).
_TWO_DECIMALS_AT_STRIPE = frozenset({"ISK", "UGX"})
# Currencies with three decimals, the last of which must be zero (docs.stripe.com/currencies#three-decimal).
STEPS = dict.fromkeys(("BHD", "JOD", "KWD", "OMR", "TND"), 10)


class UnsupportedAmount(Exception):
    """Stripe cannot take this amount of this currency; a fallback channel may."""

    def __init__(self, amount_minor: int, currency: str) -> None:
        super().__init__(f"Stripe takes {currency} in steps of 10 minor units, not {amount_minor}.")

    def to_result(self) -> Declined:
        return Declined("amount_not_supported", str(self), can_fail_over=True)


def to_stripe(amount_minor: int, currency: str) -> int:
    """Raises `UnsupportedAmount`."""
    if amount_minor % STEPS.get(currency, 1):
        raise UnsupportedAmount(amount_minor, currency)
    return amount_minor * 100 if currency in _TWO_DECIMALS_AT_STRIPE else amount_minor


def from_stripe(amount: int, currency: str) -> int:
    """Converts an amount whose currency is written as Stripe writes it.

    A fraction of our minor unit, which cannot happen, is rounded up, so that the amount differs from ours.
    """
    return -(-amount // 100) if currency.upper() in _TWO_DECIMALS_AT_STRIPE else amount


def round_down(stripe_amount: int, currency: str) -> int:
    """Rounds an amount in Stripe's units down to one that Stripe takes, but not to zero. The currency is ours."""
    step = 100 if currency in _TWO_DECIMALS_AT_STRIPE else STEPS.get(currency, 1)
    return max(step, stripe_amount // step * step)
