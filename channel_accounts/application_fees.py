"""The application fee: what the platform takes of each payment of a connected account."""

from collections.abc import Mapping
from dataclasses import dataclass, field

# A basis point is 1/100 %.
BASIS_POINTS_PER_WHOLE = 10_000


@dataclass(frozen=True, slots=True)
class ApplicationFee:
    """A part of the amount, in basis points (1/100 %), and a fixed amount in minor units of each currency. A currency
    that is not in `fixed_minor` has no fixed amount."""

    basis_points: int = 0
    fixed_minor: Mapping[str, int] = field(default_factory=dict)

    def compute(self, *, amount_minor: int, currency: str, step: int = 1) -> int:
        """Computes the fee of a payment, in minor units.

        The part is rounded down to a whole minor unit, then the fixed amount is added. The fee is less than the amount,
        and a multiple of `step`, to which it is rounded down: the channel takes no other amounts of the currency.
        """
        part = amount_minor * self.basis_points // BASIS_POINTS_PER_WHOLE
        fee = min(part + self.fixed_minor.get(currency, 0), amount_minor - 1)
        return max(fee, 0) // step * step
