"""The amount above which an operation needs an approval: the setting `SECOND_PERSON_ABOVE`."""

from decimal import Decimal
from typing import Final

from django.conf import settings

from common.money import EXPONENTS
from sagas.availability import Operation
from sagas.models import SagaInstance

ANY_CURRENCY: Final = "*"
# A later step of the saga cannot undo them.
IRREVERSIBLE: Final = frozenset({Operation.SKIP_STEP, Operation.COMPENSATE, Operation.MARK_RESOLVED})


def amount_at_stake(saga: SagaInstance) -> tuple[int, str]:
    """Returns the amount at stake, in minor units, and its currency. For a refund it is the whole payment's amount:
    that is what a mistake may cost."""
    data = saga.metadata
    amounts = [data.get("amount_minor"), data.get("payment_amount_minor")]
    known = [amount for amount in amounts if isinstance(amount, int)]
    return max(known, default=0), str(data.get("currency", ""))


def needs_approval(*, operation: Operation, amount_minor: int, currency: str) -> bool:
    return operation in IRREVERSIBLE and exceeds_limit(amount_minor=amount_minor, currency=currency)


def exceeds_limit(*, amount_minor: int, currency: str) -> bool:
    """Tells whether the amount is strictly above the limit of its currency."""
    limit = limit_minor(currency)
    return limit is not None and amount_minor > limit


def limit_minor(currency: str) -> Decimal | None:
    """Returns the limit in minor units; None when no amount needs an approval.

    The limit that a currency has by name is in its major units. `*` is for the other currencies: that number of major
    units of a currency with two decimals, and the same number of minor units of each other currency. 10000 is
    10,000.00 USD, 1,000,000 VND, 1,000.000 KWD. One number of major units would be too little for one currency and
    too much for another.
    """
    limits = settings.SECOND_PERSON_ABOVE
    if currency not in EXPONENTS:
        return None
    if currency in limits:
        return Decimal(limits[currency]).scaleb(EXPONENTS[currency])
    if ANY_CURRENCY in limits:
        return Decimal(limits[ANY_CURRENCY]).scaleb(2)
    return None
