"""From which amount on a second person must agree."""

from decimal import Decimal
from typing import Final

from django.conf import settings

from common.money import EXPONENTS
from sagas.availability import Operation
from sagas.models import SagaInstance

ANY_CURRENCY: Final = "*"
# What cannot be taken back by a later step of the saga.
IRREVERSIBLE: Final = frozenset({Operation.SKIP_STEP, Operation.COMPENSATE, Operation.MARK_RESOLVED})


def amount_at_stake(saga: SagaInstance) -> tuple[int, str]:
    """The most that hangs on it: of a refund the whole payment, because that is what a mistake may cost."""
    data = saga.metadata
    amounts = [data.get("amount_minor"), data.get("payment_amount_minor")]
    known = [amount for amount in amounts if isinstance(amount, int)]
    return max(known, default=0), str(data.get("currency", ""))


def needs_approval(*, operation: Operation, amount_minor: int, currency: str) -> bool:
    return operation in IRREVERSIBLE and exceeds_limit(amount_minor=amount_minor, currency=currency)


def exceeds_limit(*, amount_minor: int, currency: str) -> bool:
    """Strictly above the limit of its currency, in minor units."""
    limit = limit_minor(currency)
    return limit is not None and amount_minor > limit


def limit_minor(currency: str) -> Decimal | None:
    """None where one person decides about any amount.

    A currency's own limit is in its major units. `*` is for the others: so many units of a currency with two decimals,
    and of each other currency the same number of minor units (`common.money.EXPONENTS`): 10000 is 10,000.00 USD,
    1,000,000 VND, 1,000.000 KWD. One number of major units for all would be too little of one and too much of another.
    """
    limits = settings.SECOND_PERSON_ABOVE
    if currency not in EXPONENTS:
        return None
    if currency in limits:
        return Decimal(limits[currency]).scaleb(EXPONENTS[currency])
    if ANY_CURRENCY in limits:
        return Decimal(limits[ANY_CURRENCY]).scaleb(2)
    return None
